"""The help: the live bindings of what has the keyboard, so that it cannot drift from the keymap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style as TextualStyle
from textual.widgets import Static

from memscope.terminal.safe import fit
from memscope.ui.keys import DIALOG
from memscope.ui.modal import ClosesOnce

__all__ = ["Help", "help_text"]

_BOLD, _DIM = TextualStyle.from_rich_style(Style(bold=True)), TextualStyle.from_rich_style(Style(dim=True))
_KEYS, _NAMES = 11, 18


def help_text(bindings: Iterable[tuple[str, Binding]], width: int) -> Content:
    """Return a table of keys, what they do, and the names by which they can be remapped.

    Args:
        bindings: Pairs of a key as it is shown and its binding; keys of one binding share a line.
        width: Cells of a line.
    """
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for key, binding in bindings:
        if binding.id:
            keys.setdefault(binding.id, []).append(key)
            words[binding.id] = binding.tooltip or binding.description
    lines = [
        Content.assemble(
            (fit(" ".join(keys[name]), _KEYS), _BOLD),
            fit(words[name], width - _KEYS - _NAMES - 1),
            (f" {name}\n", _DIM),
        )
        for name in keys
    ]
    return Content.assemble(*lines, ("\nA name on the right remaps its key: [keymap] in the configuration.", _DIM))


class Help(ClosesOnce, ModalScreen[None]):
    """Shows the bindings of one pane."""

    BINDINGS: ClassVar[list[BindingType]] = DIALOG

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """One text."""
        with VerticalScroll(classes="box help") as box:
            box.border_title = Content(self._title)
            yield Static(self._text)

    def action_cancel(self) -> None:
        """Close."""
        self.dismiss(None)
