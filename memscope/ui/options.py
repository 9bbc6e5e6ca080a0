"""The options of the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from memscope.ui.palette import Colours

if TYPE_CHECKING:
    from memscope.config import Config

__all__ = ["UiOptions"]


class UiOptions(msgspec.Struct, frozen=True):
    """How the screen starts.

    Attributes:
        state_folder: The folder for copied text.
        theme: Name of a theme; if it is unknown, that is reported and the default is used.
        keymap: Keys by binding id.
        score: Whether to start scoring after the first paint.
        read_only: Whether keys that send or change anything are disabled.
        undo_seconds: Delay before sending to training, during which it can be cancelled.
        colours: Force colours or glyphs; None detects the terminal's support.
    """

    state_folder: Path
    theme: str = "textual-dark"
    keymap: Mapping[str, str] = msgspec.field(default_factory=dict)
    score: bool = True
    read_only: bool = False
    undo_seconds: int = 5
    colours: Colours | None = None

    @classmethod
    def of(cls, config: Config) -> UiOptions:
        """Return the screen's part of the configuration."""
        return cls(config.state_folder(), config.theme, config.keymap, read_only=config.is_read_only)
