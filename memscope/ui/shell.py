"""What the parts of the screen may ask of the app that holds them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from textual.app import App
from textual.binding import Binding

from memscope.ui.hardened import HardenedApp
from memscope.ui.keys import default_keys
from memscope.ui.options import UiOptions

__all__ = ["AppShell", "key_of"]


class AppShell(HardenedApp):
    """An app as its parts see it.

    Attributes:
        options: How the screen was started.
    """

    options: UiOptions

    @abstractmethod
    def say(self, line: str, *, warn: bool = False) -> None:
        """Tell the user something, briefly on the screen and for good in the log."""

    @abstractmethod
    def log_line(self, line: str) -> None:
        """Keep a line in the log."""

    @abstractmethod
    def open_pane(self, name: str) -> None:
        """Show a pane and give it the keyboard."""

    @abstractmethod
    def show_proof(self) -> None:
        """Score the map again under the weights that came out of training, and show what changed as it fills in."""


def key_of(app: App[Any], name: str) -> str:
    """Return the first key of a binding as it is shown, remapped or not, wherever the keyboard is."""
    remapped = app.options.keymap.get(name) if isinstance(app, AppShell) else None
    return app.get_key_display(Binding((remapped or default_keys(name)).split(",")[0], "", ""))
