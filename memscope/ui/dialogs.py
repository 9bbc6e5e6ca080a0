"""Dialogs; Esc closes them without any effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from memscope.terminal.safe import visible
from memscope.ui.entry import Entry
from memscope.ui.keys import DIALOG
from memscope.ui.modal import Answers, ClosesOnce

__all__ = ["Ask", "Choose"]

T = TypeVar("T")

_MAX_PATH_LENGTH = 4096


class _Dialog(ClosesOnce, ModalScreen[T | None], Generic[T]):
    """A dialog with a question; Esc closes it with None."""

    BINDINGS: ClassVar[list[BindingType]] = DIALOG

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = Static(Content(visible(question)), classes="question")

    def action_cancel(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Choose(_Dialog[str]):
    """A dialog that offers a few answers."""

    def __init__(self, question: str, answers: Sequence[tuple[str, str]]) -> None:
        """Create a dialog with a question and pairs of (answer, label)."""
        super().__init__(question)
        self._answers = answers

    def compose(self) -> ComposeResult:
        """Create the question and the answers."""
        with Vertical(classes="box"):
            yield self._question
            yield Answers(*(Option(Content(visible(text)), id=name) for name, text in self._answers), compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close with the chosen answer."""
        self.dismiss(event.option_id)


class Ask(_Dialog[str]):
    """A dialog that asks for a line of text."""

    def __init__(self, question: str, proposal: str) -> None:
        super().__init__(question)
        self._proposal = proposal

    def compose(self) -> ComposeResult:
        """Create the question and the input."""
        with Vertical(classes="box"):
            yield self._question
            yield Entry(self._proposal, max_length=_MAX_PATH_LENGTH, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the entered text."""
        self.dismiss(event.value.strip() or None)
