"""The review before sending: what is sent, where to, and its effect; then a few seconds to cancel."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.style import Style
from textual.timer import Timer
from textual.widgets import Static

from memscope.terminal.counts import counted
from memscope.terminal.safe import one_line, visible
from memscope.training.samples import Review
from memscope.ui.keys import REVIEW
from memscope.ui.modal import ClosesOnce
from memscope.ui.shell import key_of

__all__ = ["ReviewScreen"]

_BOLD, _DIM, _WARN = Style(bold=True), Style(dim=True), Style(bold=True, reverse=True)
_LEARNED = Style(bold=True, underline=True)


class ReviewScreen(ClosesOnce, ModalScreen[str | None]):
    """Closes with "send" after the undo window, with "context" to review with the other context, with None on Esc."""

    BINDINGS: ClassVar[list[BindingType]] = REVIEW

    def __init__(self, review: Review, undo_seconds: int) -> None:
        super().__init__()
        self._review = review
        self._undo_seconds = undo_seconds
        self._status = Static("", markup=False, classes="status")
        self._left = 0
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Create the facts, one sample in full, and the key hints."""
        with Vertical(classes="box review"):
            yield Static(self._facts(), markup=False)
            with VerticalScroll(classes="sample"):
                yield Static(self._example(), markup=False)
            yield self._status

    def on_mount(self) -> None:
        """Show the key hints."""
        self._say()

    def action_send(self) -> None:
        """Start the countdown; further presses are ignored."""
        if self._timer is None:
            self._left = self._undo_seconds + 1
            self._timer = self.set_interval(1.0, self._tick)
            self._tick()

    def action_context(self) -> None:
        """Review with the other context."""
        if self._timer is None:
            self.dismiss("context")

    def action_cancel(self) -> None:
        """Send nothing."""
        self.dismiss(None)

    def _tick(self) -> None:
        if not self.on_top:
            return  # a dialog is open on top
        self._left -= 1
        if self._left <= 0 and self._timer is not None:
            self._timer.stop()
            self.dismiss("send")
        else:
            self._say()

    def _facts(self) -> Content:
        review = self._review
        numbers = ", ".join(str(sample.index) for sample in review.samples)
        away = "" if review.loopback else "  remote address: the samples leave this machine"
        return Content.assemble(
            ("Send to training\n\n", _BOLD),
            f"{counted(len(review.samples), 'response')} ({numbers}), {review.tokens:,} tokens\n",
            f"to {one_line(review.address)}",
            (away, _WARN),
            f"\ncontext {review.context} memories: {review.effect}\n\n",
            ("the first sample in full; the part to learn is underlined\n", _DIM),
        )

    def _example(self) -> Content:
        context, learned = self._review.example
        return Content.assemble(visible(context), (visible(learned), _LEARNED))

    def _say(self) -> None:
        if self._timer is None:
            send, context, cancel = (key_of(self.app, f"review.{name}") for name in ("send", "context", "cancel"))
            self._status.update(
                Content(f"\n{send} sends · {context} with or without memories · {cancel} sends nothing")
            )
        else:
            cancel = key_of(self.app, "review.cancel")
            self._status.update(Content.styled(f"\nsending in {self._left} s · {cancel} cancels", _WARN))
