"""Runs the user's requests about candidates through `FineTuning`, and holds the state that the panes show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from memscope.errors import MemscopeError
from memscope.run.finetuning import FineTuning
from memscope.run.selection import Selection, select_responses
from memscope.store.decisions import Decision
from memscope.training.samples import Review
from memscope.ui.candidates.pane import CandidatesState
from memscope.ui.feed import Batch
from memscope.ui.shell import AppShell, key_of
from memscope.ui.tasks import Tasks

if TYPE_CHECKING:
    import asyncio

    from memscope.run.run import Run
    from memscope.training.proof import Proof

__all__ = ["CandidateTasks"]

_THRESHOLD_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class CandidateTasks:
    """The background tasks for the candidates of one run."""

    def __init__(self, app: AppShell, run: Run, tasks: Tasks, changed: Callable[[], None]) -> None:
        """Create the tasks.

        Args:
            app: The app that shows messages and the effect of training.
            run: The run.
            tasks: Starts background tasks.
            changed: Called after every change that the panes show.
        """
        self.tuning = FineTuning(run)
        self.alternates: dict[str, str] = {}
        self.generating: set[str] = set()
        self.failures: dict[str, str] = {}
        self._run = run
        self._app, self._tasks, self._changed = app, tasks, changed
        self._complete: set[str] = set()
        self._weights: str | None = None
        self._note = ""
        self._generator: asyncio.Task[None] | None = None
        self._jobs = 0

    @property
    def busy(self) -> bool:
        """Whether something is being sent or a job is running."""
        return self._jobs > 0

    @property
    def unsaved_weights(self) -> bool:
        """Whether the weights in use were trained here and are lost when the scorer stops."""
        return self.tuning.shipping.has_unsaved_weights

    @property
    def unmeasured(self) -> bool:
        """Whether the effect of a succeeded job has not been measured."""
        return bool(self.tuning.shipping.history.unmeasured())

    def state(self) -> CandidatesState:
        """Return the current state for the candidates pane."""
        candidates, record = self.tuning.candidates, self.tuning.shipping.history
        return CandidatesState(
            findings=candidates.findings() if candidates.current else None,
            decisions=candidates.decisions(),
            marks=self.tuning.shipping.marks(),
            trained=record.trained(),
            before=record.before(),
            alternates_on=candidates.alternates_on,
            note=self._note,
        )

    def take(self, batch: Batch) -> None:
        """Handle events; a complete map is followed by a search for candidates."""
        self.alternates |= {index: text for index, text in batch.alternates.items() if index in self.generating}
        self.failures |= batch.failed_alternates
        if batch.shipment and self.busy:
            self.note(batch.shipment)
        if batch.finished is not None and self._run.state == "done":
            self.find()

    def find(self) -> None:
        """Score responses without memories; after training, compare with before."""
        self._start(self._find)

    def decide(self, responses: Collection[str], decision: Decision) -> None:
        """Set a decision; setting the same one again clears it."""
        trained = self.tuning.shipping.history.trained()
        if told := [index for index in responses if index in trained]:
            number = trained[told[0]].response.index
            self._app.say(f"response {number} was already sent to training; you will be asked before it is sent again")
            return
        known = self.tuning.candidates.decisions()
        again = all(known.get(index) == decision for index in responses)
        written = self.tuning.candidates.decide(responses, None if again else decision)
        self._start(partial(self._written, written))
        self._changed()

    async def _written(self, written: asyncio.Future[None]) -> None:
        try:
            await written
        except MemscopeError:
            self._changed()  # the decision was reverted
            raise

    def threshold(self, up: bool) -> None:
        """Raise or lower the threshold by one step."""
        now = self.tuning.candidates.threshold
        steps = [s for s in _THRESHOLD_STEPS if (s > now if up else s < now)]
        if steps:
            self._guarded(lambda: setattr(self.tuning.candidates, "threshold", min(steps) if up else max(steps)))
            self.generate()

    def toggle_alternates(self) -> None:
        """Toggle alternates; turning them off stops the one being generated."""
        candidates = self.tuning.candidates
        self._guarded(lambda: setattr(candidates, "alternates_on", not candidates.alternates_on))
        self.generate()

    def generate(self) -> None:
        """Generate the missing alternates, one at a time."""
        if self._generator is not None:
            self._generator.cancel()
        self.generating.clear()
        if self.tuning.candidates.alternates_on and self.tuning.candidates.current:
            self._generator = self._start(self._generate)

    def selection(self, chosen: Collection[str]) -> Selection:
        """Return the responses to send: the approved ones, or else the selected ones."""
        return select_responses(
            requested=None,
            approved=self.tuning.candidates.approved(),
            fallback=chosen,
            marked=self.tuning.shipping.marks(),
        )

    async def review(self, responses: Collection[str], *, again: bool) -> Review | None:
        """Return a preview of what would be sent; None, after a message, if nothing can be sent."""
        try:
            return await self.tuning.shipping.review(list(responses), self.tuning.shipping.context, again=again)
        except MemscopeError as error:
            self._app.say(str(error), warn=True)
            return None

    def send(self, review: Review, *, again: bool) -> None:
        """Send the reviewed samples and follow the job."""
        self._start(partial(self._send, review, again))

    def note(self, text: str) -> None:
        """Show one line on the current activity."""
        self._note = text
        self._changed()

    async def _find(self) -> None:
        unmeasured = self.tuning.shipping.history.unmeasured()
        if unmeasured:
            for key in unmeasured:
                self._compare(await self.tuning.verify(key))
        else:
            await self.tuning.candidates.find()
        self._forget_stale()
        self._changed()
        if unmeasured:
            self._app.show_training_effect()
        self.generate()

    def _forget_stale(self) -> None:
        """Drop alternates of other weights."""
        weights = self._run.rescorer.weights
        if weights != self._weights:
            self._weights = weights
            self.alternates.clear()
            self._complete.clear()
            self.failures.clear()

    def _compare(self, proof: Proof) -> None:
        line = f"before → after: dependence fell by {proof.fall:.1%}" + (", overshot" if proof.overshot else "")
        self.note(line)
        self._app.log_line(
            f"{line}; with all memories present, the log-probability of the other responses moved by "
            f"{proof.others_moved:.2f} nats on average"
        )

    async def _generate(self) -> None:
        wanted = list(self.tuning.shipping.history.trained())
        wanted += [candidate.id for candidate in self.tuning.candidates.findings().candidates]
        for index in wanted:
            if index in self._complete:
                continue
            self.generating.add(index)
            self.failures.pop(index, None)
            text = await self.tuning.candidates.alternate(index)
            self.generating.discard(index)
            if text is not None:
                self.alternates[index] = text
                self._complete.add(index)
            self._changed()

    async def _send(self, review: Review, again: bool) -> None:
        self._jobs += 1
        try:
            self.tuning.shipping.trust(review.address)
            self.note("sending …")
            key, job = await self.tuning.shipping.send(review, again=again)
            self.note(f"job {job.id} {job.status}")
            job = await self.tuning.shipping.watch(key, job)
        finally:
            self._jobs -= 1
        if job.status == "succeeded":
            self.note(f"trained: {key_of(self._app, 'score')} scores again, before → after")
        elif job.ended:
            self.note(f"job {job.id} {job.status}: {job.error or 'no reason given'}")
        else:
            self.note(f"job {job.id} was last reported as {job.status}")
        if job.status == "succeeded":
            self._app.log_line(self._note)
        else:
            self._app.say(self._note, warn=True)

    def _guarded(self, change: Callable[[], object]) -> None:
        try:
            change()
        except MemscopeError as error:
            self._app.say(str(error), warn=True)
        self._changed()

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        # The coroutine is made inside: one that is cancelled before its first step would never be awaited.
        async def guarded() -> None:
            try:
                await work()
            except MemscopeError as error:
                self.note(str(error))
                self._app.say(str(error), warn=True)

        return self._tasks.start(guarded())
