"""Fine-tuning: candidates, alternates, decisions, sending to training, and the proof that it worked.

The second face-less class beside `Run`: panes and commands drive it, and its events go to the run's listeners.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memscope.engines.base import Sampling
from memscope.errors import MemscopeError, ScorerError, StoreError, TrainingError
from memscope.run import Run
from memscope.scoring.alternates import generate_alternate
from memscope.scoring.events import (
    AlternateDone,
    AlternateFailed,
    AlternateGrew,
    JobProgress,
    ShipmentChanged,
    StrippedDone,
    Trouble,
)
from memscope.scoring.finetune import Context, Findings, find_candidates, recent_responses, strip_all
from memscope.store.alternates import Alternates
from memscope.store.database import Database
from memscope.store.decisions import Decisions, Verdict, response_id
from memscope.store.ledger import Ledger, Mark, Sample
from memscope.training.proof import Proof, measured
from memscope.training.samples import LESSONS, TrainingContext, TrainingSample, build_samples

if TYPE_CHECKING:
    from memscope.training.send import Job, TrainingServer

__all__ = ["FineTuning", "Review"]

_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Review:
    """What is about to be sent.

    Attributes:
        responses: Indices in the matrix.
        samples: What leaves.
        address: Whom it goes to.
        loopback: The address is on this machine.
        known: The user has agreed to this address before.
        context: Whether memories stay in the context.
        lesson: One line on what that teaches.
        example: The first sample in full, as text.
    """

    responses: tuple[int, ...]
    samples: tuple[TrainingSample, ...]
    address: str
    loopback: bool
    known: bool
    context: TrainingContext
    lesson: str
    example: str

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return sum(sample.tokens for sample in self.samples)


class FineTuning:
    """Everything about candidates of one run. All methods belong to the run's loop."""

    def __init__(self, run: Run, database: Database) -> None:
        self.run = run
        self._database = database
        self._decisions = Decisions(database)
        self._ledger = Ledger(database)
        self._alternates = Alternates(database)
        self._divergences: dict[int, float] = {}

    @property
    def threshold(self) -> float:
        """Nats from which a response is a candidate; the last one set, else the configured one."""
        return self.run.settings.get("threshold", self.run.config.threshold)

    @threshold.setter
    def threshold(self, nats: float) -> None:
        self.run.settings.set("threshold", max(0.0, nats))

    @property
    def alternates_on(self) -> bool:
        """Whether alternates are generated for candidates."""
        return self.run.settings.get("alternates", False)

    @alternates_on.setter
    def alternates_on(self, on: bool) -> None:
        self.run.settings.set("alternates", on)

    @property
    def context(self) -> TrainingContext:
        """With or without memories in the training context: the last choice."""
        return "with" if self.run.settings.get("training_context", "without") == "with" else "without"

    @context.setter
    def context(self, context: TrainingContext) -> None:
        self.run.settings.set("training_context", context)

    async def find(self, count: int | None = None, context: Context = "full", *, fresh: bool = False) -> Findings:
        """Score responses with all memories stripped and return the candidates.

        Args:
            count: Only the responses among that many most recent nodes of the conversation; None is all.
            context: "full" keeps everything before as context, "window" only the recent nodes.
            fresh: Ask the scorer again even where a score is remembered.

        Raises:
            MemscopeError: There is no scorer, or it failed.
        """
        await self.run.open()
        await self.run.follow_weights()
        responses, window = recent_responses(self.run.prompt, self._entries, count)
        window = window if context == "window" else None
        found = await strip_all(self.run.prompt, self.run.rescorer, responses, window=window, fresh=fresh)
        self._divergences = found
        for index, nats in found.items():
            self.run.grids["necessity"].stripped[index] = nats
        self.run.emit(StrippedDone())
        return self.findings()

    def findings(self) -> Findings:
        """Return the candidates among what was scored, under the present threshold and marks."""
        columns = self.run.grids["necessity"].columns
        return find_candidates(self._divergences, columns, self.marks().keys(), self.threshold)

    async def alternate(self, response: int, seed: int = 0) -> str | None:
        """Generate what the model says in a response's place; events tell how it grows. None when it failed."""
        await self.run.open()
        text = ""
        stream = generate_alternate(
            self.run.prompt,
            self.run.rescorer.scorer,
            self._alternates,
            response,
            Sampling(seed=seed),
            self.run.tokenizer.decode,
        )
        try:
            async for text in stream:
                self.run.emit(AlternateGrew(response, text))
        except MemscopeError as error:
            self.run.emit(AlternateFailed(response, str(error)))
            return None
        self.run.emit(AlternateDone(response, text))
        return text

    def decide(self, responses: Collection[int], verdict: Verdict | None) -> None:
        """Approve or reject responses; None takes it back.

        Raises:
            StoreError: It could not be written: the decision does not count.
        """
        self._decisions.decide([self._id(index) for index in responses], verdict)

    def verdicts(self) -> dict[int, Verdict]:
        """Return the decisions by response index."""
        ids = self._ids()
        return {ids[key]: verdict for key, verdict in self._decisions.verdicts(list(ids)).items()}

    def marks(self) -> dict[int, Mark]:
        """Return what the ledger says of responses, by index."""
        ids = self._ids()
        return {ids[key]: mark for key, mark in self._ledger.marks(list(ids)).items()}

    async def review(self, responses: Sequence[int], context: TrainingContext) -> Review:
        """Return what sending these responses would send.

        Raises:
            MemscopeError: Something in it cannot be sent.
        """
        from memscope.engines.transport import is_loopback

        await self.run.open()
        if not responses:
            raise TrainingError("no response was chosen: nothing to send")
        samples = build_samples(self.run.prompt, responses, context, self.run.rescorer.scorer.info.max_tokens)
        address = self._server().address
        first = samples[0]
        return Review(
            responses=tuple(responses),
            samples=tuple(samples),
            address=address,
            loopback=is_loopback(address),
            known=self.run.settings.get(f"trusted {address}", False),
            context=context,
            lesson=LESSONS[context],
            example=self.run.tokenizer.decode(first.context) + self.run.tokenizer.decode(first.continuation),
        )

    def trust(self, address: str) -> None:
        """Remember that the user agreed to send samples to an address."""
        self.run.settings.set(f"trusted {address}", True)

    async def send(self, review: Review, *, again: bool = False) -> tuple[str, Job]:
        """Send what was reviewed; return the shipment's key and the job.

        Raises:
            TrainingError: It was refused, failed, or is in doubt; the ledger says which.
            StoreError: The ledger cannot be written: nothing was sent.
        """
        from memscope.training.send import ship

        if self._database.path is None:
            raise StoreError(
                "the state database is in memory only: what is sent could be forgotten, so nothing is sent"
            )
        await self.settle()
        if any(index not in self._divergences for index in review.responses):
            await self.find()
        before = await measured(self.run.prompt, self.run.rescorer, self._divergences)
        samples = [Sample(self._id(i), i, self._divergences.get(i)) for i in review.responses]
        info = self.run.rescorer.scorer.info
        key = self._ledger.prepare(
            review.address, info.model, self.run.session.header.id, review.context, samples, again=again
        )
        self._ledger.prove(key, {"before": before})
        try:
            job = await ship(self._ledger, self._server(), key, review.samples, info.model)
        finally:
            self._tell(key)
        return key, job

    async def watch(self, key: str, job: Job) -> Job:
        """Follow a job to its end and write that into the ledger.

        Raises:
            ScorerError: The server stopped answering; the job may go on there.
        """
        server = self._server()
        while not job.ended:
            self.run.emit(JobProgress(job.id, job.status, job.step, job.steps, job.loss))
            await asyncio.sleep(_POLL_SECONDS)
            job = await server.job(job.id)
        self.run.emit(JobProgress(job.id, job.status, job.step, job.steps, job.loss))
        if job.status == "succeeded":
            self._ledger.succeeded(key)
        else:
            self._ledger.failed(key, job.error or f"the job {job.status}")
        self._tell(key)
        return job

    async def verify(self, key: str) -> Proof:
        """Score a shipment's responses again, and the others, and keep before and after with the ledger's entry.

        Raises:
            MemscopeError: The scorer failed, or there is no such shipment.
        """
        shipment = next((s for s in self._ledger.shipments() if s.key == key), None)
        if shipment is None or not shipment.proof or "before" not in shipment.proof:
            raise TrainingError(f"there is nothing to compare with for shipment {key}")
        await self.find()
        after = await measured(self.run.prompt, self.run.rescorer, self._divergences)
        self._ledger.prove(key, {"before": shipment.proof["before"], "after": after})
        return Proof.of([s.position for s in shipment.samples], shipment.proof["before"], after)

    async def settle(self) -> None:
        """Judge what ended processes left, and ask the server about shipments in doubt."""
        from memscope.training.send import reconcile

        server = self._server()
        for shipment in self._ledger.settle():
            if server.address.startswith(shipment.url.rpartition("/v1/")[0] or shipment.url):
                try:
                    await reconcile(self._ledger, server, shipment)
                except ScorerError as error:
                    self.run.emit(Trouble(f"a shipment is in doubt, and the server cannot be asked: {error}"))

    @property
    def _entries(self) -> int:
        return len(self.run.session.section("conversation"))

    def _server(self) -> TrainingServer:
        from memscope.training.send import TrainingServer

        return TrainingServer(self.run.transport)

    def _ids(self) -> dict[str, int]:
        return {self._id(column.index): column.index for column in self.run.grids["necessity"].columns}

    def _id(self, index: int) -> str:
        column = self.run.grids["necessity"].columns[index]
        return response_id(self.run.session.header.id, column.entry_index, column.timestamp, column.text)

    def _tell(self, key: str) -> None:
        for shipment in self._ledger.shipments():
            if shipment.key == key:
                self.run.emit(ShipmentChanged(key, shipment.state, shipment.job, shipment.error))
