"""Connects the candidate list, the diff and the review; the app only forwards messages to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from textual.worker import Worker

from memscope.errors import StoreError
from memscope.session.nodes import Branch, Memory
from memscope.session.presence import nodes_before
from memscope.session.text import leaf_text
from memscope.ui.candidates.diff_pane import DiffPane
from memscope.ui.candidates.pane import CandidatesPane
from memscope.ui.candidates.review import ReviewScreen
from memscope.ui.candidates.tasks import CandidateTasks
from memscope.ui.dialogs import Choose
from memscope.ui.feed import Batch
from memscope.ui.intents import (
    CandidateIntent,
    Decide,
    FindCandidates,
    MoveThreshold,
    OpenDiff,
    ReviewSend,
    StepCandidate,
    ToggleAlternates,
)
from memscope.ui.shell import AppShell, key_of
from memscope.ui.tasks import Tasks

if TYPE_CHECKING:
    from memscope.run.run import Run
    from memscope.training.samples import Review

__all__ = ["CandidatesController"]


class CandidatesController:
    """Controls the candidates pane and the diff pane."""

    def __init__(self, app: AppShell, run: Run, tasks: Tasks) -> None:
        self.pane = CandidatesPane(id="candidates")
        self.diff = DiffPane(id="diff")
        self.tasks = CandidateTasks(app, run, tasks, self.redraw)
        self._app, self._run = app, run
        self._sending: Worker[None] | None = None

    def take(self, batch: Batch) -> None:
        """Handle events about candidates."""
        self.tasks.take(batch)
        if batch.list_changed:
            self.redraw()
        else:
            self.moved()

    def redraw(self) -> None:
        """Update both panes."""
        if self.pane.is_attached:
            self.pane.show(self.tasks.state())
            self.moved()

    def moved(self) -> None:
        """Show the candidate under the cursor in the diff."""
        current = self.pane.current
        if current is None:
            self.diff.show(None, "", None, "", "")
            return
        before = self._exchange_before(current.id)
        alternate, state = self.tasks.alternates.get(current.id), self.pane.state_of(current.id)
        self.diff.show(current, before, alternate, self._note(current.id), state)

    def follow(self, intent: CandidateIntent) -> None:
        """Handle an intent of a pane."""
        match intent:
            case FindCandidates():
                self.tasks.find()
            case ToggleAlternates():
                self.tasks.toggle_alternates()
            case MoveThreshold(up):
                self.tasks.threshold(up)
            case OpenDiff():
                self._app.open_pane("diff")
            case StepCandidate(by):
                self.pane.action_move(by)
            case Decide(responses, decision):
                self.tasks.decide(responses, decision)
            case ReviewSend():
                self._ask_to_send()
            case _:
                assert_never(intent)

    async def refresh_marks(self) -> None:
        """Show decisions and shipments that another process changed."""
        try:
            if await self.tasks.tuning.marks.refresh(self._run.session.header.id):
                self.redraw()
        except StoreError as error:
            self._app.log_line(f"changes by other processes cannot be shown: {error}")

    def _ask_to_send(self) -> None:
        # A second key press while the review is prepared must not open a second review.
        if self._sending is None or self._sending.is_finished:
            self._sending = self._app.run_worker(self._send(), group="send")

    async def _send(self) -> None:
        await self.refresh_marks()
        selection = self.tasks.selection(self.pane.chosen)
        responses, again = selection.responses, selection.again
        if not responses:
            self._app.say(f"nothing to send: {key_of(self._app, 'candidate.approve')} approves a candidate")
            return
        if again and not await self._confirm_resend(responses):
            return
        while (review := await self.tasks.review(responses, again=again)) is not None:
            answer = await self._app.push_screen_wait(ReviewScreen(review, self._app.options.undo_seconds))
            if answer == "context":
                self.tasks.tuning.shipping.context = "with" if review.context == "without" else "without"
                continue
            if answer == "send" and await self._confirm_sending(review):
                self.tasks.send(review, again=again)
            return

    async def _confirm_resend(self, responses: Sequence[str]) -> bool:
        numbers = ", ".join(str(self._run.layout.column_index(response)) for response in responses)
        answers = (("no", "No, send nothing"), ("yes", "Yes, send again"))
        question = f"Already sent to training, or in doubt: {numbers}. Send again?"
        answer: str | None = await self._app.push_screen_wait(Choose(question, answers))
        return answer == "yes"

    async def _confirm_sending(self, review: Review) -> bool:
        if review.loopback or review.known:
            return True
        question = f"{review.address} is a remote address. Send the samples ({len(review.samples)}) there?"
        answers = (("no", "No, send nothing"), ("yes", "Yes, and don't ask again for this address"))
        answer: str | None = await self._app.push_screen_wait(Choose(question, answers))
        return answer == "yes"

    def _note(self, response: str) -> str:
        if error := self.tasks.failures.get(response):
            return f"no alternate: {error}"
        if response in self.tasks.generating:
            return "generating the alternate …"
        if response in self.tasks.alternates:
            return ""
        return (
            "the alternate has not been generated yet"
            if self.tasks.tuning.candidates.alternates_on
            else self._how_to_get_one()
        )

    def _how_to_get_one(self) -> str:
        if self._app.options.read_only:
            return "alternates are off: the screen is read-only"
        return f"{key_of(self._app, 'candidate.alternates')} turns alternates on"

    def _exchange_before(self, response: str) -> str:
        place = self._run.layout.column_index(response)
        for node in reversed([] if place is None else nodes_before(self._run.session, place)):
            if node.section == "conversation" and isinstance(node, Branch) and node.role != "assistant":
                text = "".join(leaf_text(leaf) for leaf in node.children if not isinstance(leaf, Memory))
                return f"{node.role}: {text}"
        return ""
