"""Passes what the user wants of candidates to `FineTuning`, and keeps what the panes show of them."""

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
    """Owns the tasks around candidates of one run."""

    def __init__(self, app: AppShell, run: Run, tasks: Tasks, changed: Callable[[], None]) -> None:
        """Take the run and whom to tell.

        Args:
            app: Where lines are said, and the proof is shown.
            run: Whose responses.
            tasks: Where work goes on.
            changed: Called after anything that panes show.
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
        """Whether something is being sent or a job is being followed."""
        return self._jobs > 0

    @property
    def unsaved_weights(self) -> bool:
        """Whether the weights in use were trained here and are lost with the scorer."""
        return self.tuning.shipping.has_unsaved_weights

    @property
    def unproven(self) -> bool:
        """Whether a job succeeded whose effect was not measured."""
        return bool(self.tuning.shipping.history.unproven())

    def state(self) -> CandidatesState:
        """Return what the candidates pane shows now."""
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
        """Take what happened; a filled map is followed by the strip-all row."""
        self.alternates |= {index: text for index, text in batch.alternates.items() if index in self.generating}
        self.failures |= batch.failed_alternates
        if batch.shipment and self.busy:
            self.note(batch.shipment)
        if batch.finished is not None and self._run.state == "done":
            self.find()

    def find(self) -> None:
        """Score responses without memories; after a training, compare with before."""
        self._start(self._find)

    def decide(self, responses: Collection[str], decision: Decision) -> None:
        """Set a decision; setting the same one again clears it."""
        trained = self.tuning.shipping.history.trained()
        if told := [index for index in responses if index in trained]:
            number = trained[told[0]].response.index
            self._app.say(f"response {number} was sent to training already; sending it again is asked about")
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
            self._changed()  # it does not count any more
            raise

    def threshold(self, up: bool) -> None:
        """Move the threshold one step."""
        now = self.tuning.candidates.threshold
        steps = [s for s in _THRESHOLD_STEPS if (s > now if up else s < now)]
        if steps:
            self._guarded(lambda: setattr(self.tuning.candidates, "threshold", min(steps) if up else max(steps)))
            self.generate()

    def toggle_alternates(self) -> None:
        """Turn alternates on or off; off ends the one that is being generated."""
        candidates = self.tuning.candidates
        self._guarded(lambda: setattr(candidates, "alternates_on", not candidates.alternates_on))
        self.generate()

    def generate(self) -> None:
        """Generate what is missing of the alternates, one at a time."""
        if self._generator is not None:
            self._generator.cancel()
        self.generating.clear()
        if self.tuning.candidates.alternates_on and self.tuning.candidates.current:
            self._generator = self._start(self._generate)

    def selection(self, chosen: Collection[str]) -> Selection:
        """Return what sending is about: the approved responses, or without any the chosen ones."""
        return select_responses(
            requested=None,
            approved=self.tuning.candidates.approved(),
            fallback=chosen,
            marked=self.tuning.shipping.marks(),
        )

    async def review(self, responses: Collection[str], *, again: bool) -> Review | None:
        """Return what would be sent; None after saying why not."""
        try:
            return await self.tuning.shipping.review(list(responses), self.tuning.shipping.context, again=again)
        except MemscopeError as error:
            self._app.say(str(error), warn=True)
            return None

    def send(self, review: Review, *, again: bool) -> None:
        """Send what was reviewed and follow the job."""
        self._start(partial(self._send, review, again))

    def note(self, text: str) -> None:
        """Show one line on what is going on."""
        self._note = text
        self._changed()

    async def _find(self) -> None:
        unproven = self.tuning.shipping.history.unproven()
        if unproven:
            for key in unproven:
                self._compare(await self.tuning.verify(key))
        else:
            await self.tuning.candidates.find()
        self._forget_stale()
        self._changed()
        if unproven:
            self._app.show_proof()
        self.generate()

    def _forget_stale(self) -> None:
        """Drop what other weights said."""
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
            f"{proof.others_moved:.2f} nats in the mean"
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
            self.note(f"job {job.id} was {job.status} when it was last seen")
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
