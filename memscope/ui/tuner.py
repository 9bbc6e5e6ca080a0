"""Passes what the user wants of candidates to `FineTuning`, and keeps what the panes show of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from memscope.errors import MemscopeError
from memscope.finetuning import FineTuning
from memscope.scoring.finetune import Candidate
from memscope.store.decisions import Verdict
from memscope.training.samples import Review
from memscope.ui.candidates import CandidatesState
from memscope.ui.tasks import Tasks

if TYPE_CHECKING:
    import asyncio

    from memscope.run import Run
    from memscope.training.proof import Proof

__all__ = ["Tuner"]

_THRESHOLD_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class Tuner:
    """Owns the tasks around candidates of one run. `changed` is called after anything that panes show."""

    def __init__(self, run: Run, tasks: Tasks, changed: Callable[[], None], say: Callable[[str, bool], None]) -> None:
        self.tuning = FineTuning(run)
        self.alternates: dict[int, str] = {}
        self.growing: set[int] = set()
        self.failures: dict[int, str] = {}
        self._tasks, self._changed, self._say = tasks, changed, say
        self._found = False
        self._trained: dict[int, Candidate] = {}
        self._after: dict[int, float] = {}
        self._note = ""
        self._shipment: str | None = None
        self._generating: asyncio.Task[None] | None = None

    def state(self) -> CandidatesState:
        """Return what the candidates pane shows now."""
        return CandidatesState(
            findings=self.tuning.findings() if self._found else None,
            verdicts=self.tuning.verdicts(),
            marks=self.tuning.marks(),
            trained=self._trained,
            after=self._after,
            alternates_on=self.tuning.alternates_on,
            note=self._note,
        )

    def find(self) -> None:
        """Score responses without memories; after a training, compare with before."""
        self._start(self._find())

    def decide(self, responses: Collection[int], verdict: Verdict) -> None:
        """Set a verdict; the same one again takes it back."""
        known = self.tuning.verdicts()
        again = all(known.get(index) == verdict for index in responses)
        self._guarded(lambda: self.tuning.decide(responses, None if again else verdict))

    def threshold(self, up: bool) -> None:
        """Move the threshold one step."""
        now = self.tuning.threshold
        steps = [s for s in _THRESHOLD_STEPS if (s > now if up else s < now)]
        if steps:
            self._guarded(lambda: setattr(self.tuning, "threshold", min(steps) if up else max(steps)))

    def toggle_alternates(self) -> None:
        """Turn alternates on or off; off ends the one that is being generated."""
        self._guarded(lambda: setattr(self.tuning, "alternates_on", not self.tuning.alternates_on))
        self.generate()

    def generate(self, first: int | None = None) -> None:
        """Generate what is missing of the alternates, one at a time, `first` first."""
        if self._generating is not None:
            self._generating.cancel()
        self.growing.clear()
        if self.tuning.alternates_on and self._found:
            self._generating = self._start(self._generate(first))

    def to_send(self, chosen: Collection[int]) -> list[int]:
        """Return what sending is about: the approved responses, or without any the chosen ones."""
        marks = self.tuning.marks()
        approved = [index for index, verdict in self.tuning.verdicts().items() if verdict == "approved"]
        return [index for index in sorted(approved or chosen) if index not in marks]

    async def review(self, responses: Collection[int]) -> Review | None:
        """Return what would be sent; None after saying why not."""
        try:
            return await self.tuning.review(sorted(responses), self.tuning.context)
        except MemscopeError as error:
            self._say(str(error), True)
            return None

    def send(self, review: Review) -> None:
        """Send what was reviewed and follow the job."""
        self._start(self._send(review))

    def note(self, text: str) -> None:
        """Show one line on what is going on."""
        self._note = text
        self._changed()

    async def _find(self) -> None:
        if self._shipment is not None:
            self._compare(await self.tuning.verify(self._shipment))
            self._shipment = None
        else:
            await self.tuning.find()
        self._found = True
        self._changed()
        self.generate()

    def _compare(self, proof: Proof) -> None:
        self._after.update(proof.after)
        line = (
            f"before → after: the dependence fell by {proof.fall:.0%}, other responses moved "
            f"{proof.others_moved:.2f} nats in the mean"
        )
        self.note(line)
        self._say(line, False)

    async def _generate(self, first: int | None) -> None:
        wanted = [candidate.index for candidate in self.tuning.findings().candidates]
        wanted.sort(key=lambda index: index != first)
        for index in wanted:
            if index in self.alternates and index not in self.growing:
                continue
            self.growing.add(index)
            self.failures.pop(index, None)
            await self.tuning.alternate(index)
            self.growing.discard(index)

    async def _send(self, review: Review) -> None:
        self.tuning.trust(review.address)
        known = {candidate.index: candidate for candidate in self.tuning.findings().candidates}
        self.note("sending …")
        key, job = await self.tuning.send(review)
        self._trained |= {index: known[index] for index in review.responses if index in known}
        self.note(f"job {job.id} {job.status}")
        job = await self.tuning.watch(key, job)
        if job.status == "succeeded":
            self._shipment = key
            self.note(f"job {job.id} succeeded: r scores again, before → after")
        else:
            self.note(f"job {job.id} failed: {job.error or 'no reason given'}")
        self._say(self._note, job.status != "succeeded")

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
