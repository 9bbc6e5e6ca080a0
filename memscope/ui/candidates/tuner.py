"""Passes what the user wants of candidates to `FineTuning`, and keeps what the panes show of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from memscope.errors import MemscopeError
from memscope.run.finetuning import FineTuning
from memscope.run.selection import Selection, select_responses
from memscope.store.decisions import Verdict
from memscope.training.samples import Review
from memscope.ui.candidates.pane import CandidatesState
from memscope.ui.feed import Batch
from memscope.ui.tasks import Tasks

if TYPE_CHECKING:
    import asyncio

    from memscope.run.run import Run
    from memscope.training.proof import Proof

__all__ = ["Tuner"]

_THRESHOLD_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Tuner:
    """Owns the tasks around candidates of one run."""

    def __init__(
        self,
        run: Run,
        tasks: Tasks,
        changed: Callable[[], None],
        proven: Callable[[], None],
        say: Callable[[str, bool], None],
        log: Callable[[str], None],
    ) -> None:
        """Take the run and whom to tell.

        Args:
            run: Whose responses.
            tasks: Where work goes on.
            changed: Called after anything that panes show.
            proven: Called once trained responses were measured again, under new weights.
            say: Tells the user a line; whether it is a warning.
            log: Keeps a line for whoever looks for it.
        """
        self.tuning = FineTuning(run)
        self.alternates: dict[str, str] = {}
        self.growing: set[str] = set()
        self.failures: dict[str, str] = {}
        self._run = run
        self._tasks, self._changed, self._proven, self._say = tasks, changed, proven, say
        self._log = log
        self._complete: set[str] = set()
        self._weights: str | None = None
        self._note = ""
        self._generating: asyncio.Task[None] | None = None
        self._jobs = 0

    @property
    def busy(self) -> bool:
        """Whether something is being sent or a job is being followed."""
        return self._jobs > 0

    @property
    def fleeting(self) -> bool:
        """Whether something was taught here that ends with the scorer."""
        return self.tuning.shipping.has_unsaved_weights

    @property
    def unproven(self) -> bool:
        """Whether a job succeeded whose effect was not measured."""
        return bool(self.tuning.shipping.record.unproven())

    def state(self) -> CandidatesState:
        """Return what the candidates pane shows now."""
        candidates, record = self.tuning.candidates, self.tuning.shipping.record
        return CandidatesState(
            findings=candidates.findings() if candidates.current else None,
            verdicts=candidates.verdicts(),
            marks=self.tuning.shipping.marks(),
            trained=record.trained(),
            before=record.before(),
            alternates_on=candidates.alternates_on,
            note=self._note,
        )

    def take(self, batch: Batch) -> None:
        """Take what happened; a filled map is followed by the strip-all row."""
        self.alternates |= {index: text for index, text in batch.alternates.items() if index in self.growing}
        self.failures |= batch.unsaid
        if batch.shipment and self.busy:
            self.note(batch.shipment)
        if batch.finished is not None and self._run.state == "done":
            self.find()

    def find(self) -> None:
        """Score responses without memories; after a training, compare with before."""
        self._start(self._find())

    def decide(self, responses: Collection[str], verdict: Verdict) -> None:
        """Set a verdict; the same one again takes it back."""
        trained = self.tuning.shipping.record.trained()
        if told := [index for index in responses if index in trained]:
            number = trained[told[0]].response.index
            self._say(f"response {number} was sent to training already; sending it again is asked about", False)
            return
        known = self.tuning.candidates.verdicts()
        again = all(known.get(index) == verdict for index in responses)
        written = self.tuning.candidates.decide(responses, None if again else verdict)
        self._start(self._written(written))
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
        if self._generating is not None:
            self._generating.cancel()
        self.growing.clear()
        if self.tuning.candidates.alternates_on and self.tuning.candidates.current:
            self._generating = self._start(self._generate())

    def selection(self, chosen: Collection[str]) -> Selection:
        """Return what sending is about: the approved responses, or without any the chosen ones."""
        return select_responses(
            named=None,
            approved=self.tuning.candidates.approved(),
            otherwise=chosen,
            marked=self.tuning.shipping.marks(),
        )

    async def review(self, responses: Collection[str], *, again: bool) -> Review | None:
        """Return what would be sent; None after saying why not."""
        try:
            return await self.tuning.shipping.review(list(responses), self.tuning.shipping.context, again=again)
        except MemscopeError as error:
            self._say(str(error), True)
            return None

    def send(self, review: Review, *, again: bool) -> None:
        """Send what was reviewed and follow the job."""
        self._start(self._send(review, again))

    def note(self, text: str) -> None:
        """Show one line on what is going on."""
        self._note = text
        self._changed()

    async def _find(self) -> None:
        unproven = self.tuning.shipping.record.unproven()
        if unproven:
            for key in unproven:
                self._compare(await self.tuning.verify(key))
        else:
            await self.tuning.candidates.find()
        self._forget_stale()
        self._changed()
        if unproven:
            self._proven()
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
        self._log(
            f"{line}; with all memories present, the log-probability of the other responses moved by "
            f"{proof.others_moved:.2f} nats in the mean"
        )

    async def _generate(self) -> None:
        wanted = list(self.tuning.shipping.record.trained())
        wanted += [candidate.id for candidate in self.tuning.candidates.findings().candidates]
        for index in wanted:
            if index in self._complete:
                continue
            self.growing.add(index)
            self.failures.pop(index, None)
            text = await self.tuning.candidates.alternate(index)
            self.growing.discard(index)
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
            self.note("trained: r scores again, before → after")
        elif job.ended:
            self.note(f"job {job.id} {job.status}: {job.error or 'no reason given'}")
        else:
            self.note(f"job {job.id} was {job.status} when it was last seen")
        if job.status == "succeeded":
            self._log(self._note)
        else:
            self._say(self._note, True)

    def _guarded(self, change: Callable[[], object]) -> None:
        try:
            change()
        except MemscopeError as error:
            self._say(str(error), True)
        self._changed()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except MemscopeError as error:
                self.note(str(error))
                self._say(str(error), True)

        return self._tasks.start(guarded())
