"""The diff of a candidate's response and its alternate, side by side or unified, depending on the width."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.color import Color
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from memscope.scoring.finetune import Candidate
from memscope.store.decisions import Decision
from memscope.terminal.diff import Diff, diff_texts
from memscope.terminal.diff_layout import DiffLine, split_rows, unified_lines
from memscope.terminal.safe import cells, visible
from memscope.ui.intents import CandidateIntent, Decide, ReviewSend, StepCandidate, ToggleAlternates, UserIntent
from memscope.ui.keys import DIFF
from memscope.ui.read_only import DimsChanges

__all__ = ["DiffPane"]

_SPLIT_FROM = 68
"""Minimum width for the side-by-side layout, in cells."""

_STYLES = {
    "same": Style(),
    "removed": Style(bold=True, strike=True, foreground=Color.parse("#ff9f40")),
    "added": Style(bold=True, underline=True, foreground=Color.parse("#5caaff")),
}
_DIM, _BOLD = Style(dim=True), Style(bold=True)


class DiffPane(DimsChanges, VerticalScroll, can_focus=True):
    """Shows one candidate. The comparison runs in a thread, so that it never delays a key."""

    BINDINGS: ClassVar[list[BindingType]] = DIFF

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = Static("", markup=False)
        self._candidate: Candidate | None = None
        self._before = ""
        self._alternate: str | None = None
        self._note = self._decision = ""
        self._diff: Diff | None = None

    def compose(self) -> ComposeResult:
        """Create the text."""
        yield self._text

    def show(self, candidate: Candidate | None, before: str, alternate: str | None, note: str, decision: str) -> None:
        """Show a candidate.

        Args:
            candidate: The candidate; None to clear the pane.
            before: The messages before it.
            alternate: The alternate as far as it has been generated.
            note: Why there is no alternate, or that it is still being generated.
            decision: The decision about it, or its training status.
        """
        shown = (candidate, before, alternate, note, decision)
        if shown == (self._candidate, self._before, self._alternate, self._note, self._decision):
            return
        if candidate != self._candidate:
            self.scroll_home(animate=False)
        same = (candidate, alternate) == (self._candidate, self._alternate)
        self._candidate, self._before, self._alternate, self._note, self._decision = shown
        if same:
            self._draw()
            return
        self._diff = None
        self.workers.cancel_node(self)
        if candidate is not None and alternate is not None:
            self.run_worker(self._compare(candidate.text, alternate), group="diff")
        self._draw()

    def action_step(self, by: int) -> None:
        """Go to another candidate."""
        self._ask(StepCandidate(by))

    def action_decide(self, decision: Decision) -> None:
        """Approve or reject the candidate."""
        if self._candidate is not None:
            self._ask(Decide((self._candidate.id,), decision))

    def action_send(self) -> None:
        """Open the review before sending to training."""
        self._ask(ReviewSend())

    def action_toggle_alternates(self) -> None:
        """Toggle alternates."""
        self._ask(ToggleAlternates())

    def _ask(self, intent: CandidateIntent) -> None:
        self.post_message(UserIntent(intent))

    def focus_inside(self) -> None:
        """Focus the text."""
        self.focus()

    def copied(self) -> str:
        """Return both texts."""
        if self._candidate is None:
            return ""
        return f"response:\n{self._candidate.text}\n\nwithout memories:\n{self._alternate or ''}\n"

    def on_resize(self) -> None:
        """Choose the layout by width."""
        self._draw()

    async def _compare(self, response: str, alternate: str) -> None:
        self._diff = await asyncio.to_thread(diff_texts, visible(response), visible(alternate))
        self._draw()

    def _draw(self) -> None:
        if self._candidate is None:
            self._text.update(Content("no candidate selected"))
            return
        head = Content.assemble(
            ("before  ", _DIM),
            (visible(self._before) or "(nothing)", Style()),
            "\n\n",
            (f"response {self._candidate.index}, {self._candidate.divergence:.2f} nats", _BOLD),
            (f"  {self._decision}" if self._decision else "", _BOLD),
            (f"  {self._note}" if self._note else "", _DIM),
            "\n",
        )
        self._text.update(Content.assemble(head, "\n", self._body()))

    def _body(self) -> Content:
        if self._candidate is None:
            return Content("")
        if self._diff is None:
            return Content(visible(self._candidate.text))
        if self._diff.left == self._diff.right and not self._note:
            return Content.assemble((visible(self._candidate.text), Style()), ("\n\nthe same without memories", _DIM))
        width = max(20, self.content_size.width or 80)
        if width < _SPLIT_FROM:
            return Content("\n").join(_line(line) for line in unified_lines(self._diff, width))
        column = (width - 3) // 2
        heads = Content.styled(f"{'with memories':<{column}} │ without memories", _DIM)
        rows = [
            Content.assemble(_line(row.left, column), (" │ ", _DIM), _line(row.right))
            for row in split_rows(self._diff, column)
        ]
        return Content("\n").join([heads, *rows])


def _line(line: DiffLine, width: int = 0) -> Content:
    parts = [(segment.text, _STYLES[segment.kind]) for segment in line]
    blank = width - sum(cells(segment.text) for segment in line)
    return Content.assemble(*parts, " " * max(0, blank))
