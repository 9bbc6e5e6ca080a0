"""The desk: candidates, their diff and their sending, kept together; the app only passes messages on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.worker import Worker

from memscope.session.nodes import Branch, Memory
from memscope.session.text import leaf_text
from memscope.ui.candidates.diff_pane import DiffPane
from memscope.ui.candidates.pane import CandidatesPane
from memscope.ui.candidates.review import ReviewScreen
from memscope.ui.candidates.tuner import Tuner
from memscope.ui.dialogs import Choose
from memscope.ui.feed import Batch
from memscope.ui.stage import Stage
from memscope.ui.tasks import Tasks

if TYPE_CHECKING:
    from memscope.run.run import Run
    from memscope.training.samples import Review

__all__ = ["Desk"]


class Desk:
    """Two panes and what stands behind them."""

    def __init__(self, app: Stage, run: Run, tasks: Tasks) -> None:
        self.candidates = CandidatesPane(id="candidates")
        self.diff = DiffPane(id="diff")
        self.tuner = Tuner(
            run, tasks, self.redraw, app.show_proof, lambda line, warn: app.say(line, warn=warn), app.log_line
        )
        self._app, self._run = app, run
        self._sending: Worker[None] | None = None

    def take(self, batch: Batch) -> None:
        """Take what happened to candidates."""
        self.tuner.take(batch)
        if batch.listed:
            self.redraw()
        else:
            self.moved()

    def redraw(self) -> None:
        """Show everything anew."""
        if self.candidates.is_attached:
            self.candidates.show(self.tuner.state())
            self.moved()

    def moved(self) -> None:
        """Show the candidate under the cursor in the diff."""
        current = self.candidates.current
        if current is None:
            self.diff.show(None, "", None, "", "")
            return
        before = self._exchange_before(current.entry_index)
        alternate, state = self.tuner.alternates.get(current.id), self.candidates.state_of(current.id)
        self.diff.show(current, before, alternate, self._note(current.id), state)

    def want(self, what: str, by: float) -> None:
        """Do what a key of the candidates asks for."""
        match what:
            case "find":
                self.tuner.find()
            case "alternates":
                self.tuner.toggle_alternates()
            case "threshold":
                self.tuner.threshold(by > 0)
            case "diff":
                self._app.open_pane("diff")
            case "send":
                self._ask_to_send()

    def leaf(self, what: str) -> None:
        """Do what a key of the diff asks for: go through the candidates, or decide about the one that is shown."""
        match what:
            case "next":
                self.candidates.action_move(1)
            case "previous":
                self.candidates.action_move(-1)
            case "approved" | "rejected":
                if (current := self.candidates.current) is not None:
                    self.tuner.decide([current.id], "approved" if what == "approved" else "rejected")
            case _:
                self.want(what, 0)

    def _ask_to_send(self) -> None:
        # A second press while the review is prepared must not open a second one.
        if self._sending is None or self._sending.is_finished:
            self._sending = self._app.run_worker(self._send(), group="send")

    async def _send(self) -> None:
        self.redraw()  # another memscope may have decided something
        selection = self.tuner.selection(self.candidates.chosen)
        responses, again = selection.responses, selection.again
        if not responses:
            self._app.say(f"nothing to send: {self._app.key_of('candidate.approve')} approves a candidate")
            return
        if again and not await self._insists(responses):
            return
        while (review := await self.tuner.review(responses, again=again)) is not None:
            answer = await self._app.push_screen_wait(ReviewScreen(review, self._app.options.undo_seconds))
            if answer == "context":
                self.tuner.tuning.shipping.context = "with" if review.context == "without" else "without"
                continue
            if answer == "send" and await self._agreed(review):
                self.tuner.send(review, again=again)
            return

    async def _insists(self, responses: Sequence[str]) -> bool:
        numbers = ", ".join(str(self._run.layout.column(response)) for response in responses)
        answers = (("no", "No, send nothing"), ("yes", "Yes, send again"))
        question = f"Sent to training before, or perhaps so: {numbers}. Send again?"
        answer: str | None = await self._app.push_screen_wait(Choose(question, answers))
        return answer == "yes"

    async def _agreed(self, review: Review) -> bool:
        if review.loopback or review.known:
            return True
        question = f"{review.address} is not on this machine. Send the samples ({len(review.samples)}) there?"
        answers = (("no", "No, send nothing"), ("yes", "Yes, and do not ask again for this address"))
        answer: str | None = await self._app.push_screen_wait(Choose(question, answers))
        return answer == "yes"

    def _note(self, response: str) -> str:
        if error := self.tuner.failures.get(response):
            return f"no alternate: {error}"
        if response in self.tuner.growing:
            return "the alternate is being generated"
        if response in self.tuner.alternates:
            return ""
        return "the alternate is yet to come" if self.tuner.tuning.candidates.alternates_on else "g turns alternates on"

    def _exchange_before(self, entry_index: int) -> str:
        nodes = self._run.session.section("conversation")[:entry_index]
        for node in reversed(nodes):
            if isinstance(node, Branch) and node.role != "assistant":
                text = "".join(leaf_text(leaf) for leaf in node.children if not isinstance(leaf, Memory))
                return f"{node.role}: {text}"
        return ""
