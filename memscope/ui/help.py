"""The help, generated from the active bindings of the focused pane, so that it always matches the keymap."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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


def help_text(bindings: Iterable[tuple[str, Binding]], width: int, disabled: Collection[str] = ()) -> Content:
    """Return a table of keys, their actions, and the binding ids for remapping.

    Args:
        bindings: Pairs of a displayed key and its binding; keys of one binding share a line.
        width: Line width in cells.
        disabled: Ids of bindings that have no effect because the screen is read-only.
    """
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for key, binding in bindings:
        if binding.id:
            keys.setdefault(binding.id, []).append(key)
            words[binding.id] = binding.tooltip or binding.description
    lines = [
        Content.assemble(
            (fit(" ".join(keys[name]), _KEYS), _DIM if name in disabled else _BOLD),
            _explained(words[name], width - _KEYS - _NAMES - 1, disabled=name in disabled),
            (f" {name}\n", _DIM),
        )
        for name in keys
    ]
    return Content.assemble(*lines, ("\nTo remap a key, set its name under [keymap] in the configuration.", _DIM))


def _explained(words: str, width: int, *, disabled: bool) -> Content:
    return Content.styled(fit(f"(read-only) {words}", width), _DIM) if disabled else Content(fit(words, width))


class Help(ClosesOnce, ModalScreen[None]):
    """Shows the bindings of one pane."""

    BINDINGS: ClassVar[list[BindingType]] = DIALOG

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Create the text."""
        with VerticalScroll(classes="box help") as box:
            box.border_title = Content(self._title)
            yield Static(self._text)

    def action_cancel(self) -> None:
        """Close."""
        self.dismiss(None)
