"""Fine-tuning: candidates, alternates, decisions, sending to training, and the proof that it worked.

The second face-less class beside `Run`: panes and commands drive it, and its events go to the run's listeners.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memscope.engines.base import Sampling
from memscope.errors import MemscopeError, StoreError, TrainingError
from memscope.run.run import Run
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
from memscope.scoring.grid import Column
from memscope.scoring.rescoring import Rescorer
from memscope.store.alternates import Alternates
from memscope.store.decisions import Decisions, Verdict, response_id
from memscope.store.ledger import EMBEDDED, Ledger, Mark, Sample, Shipment
from memscope.training.proof import Measured, Proof, measured
from memscope.training.record import Record
from memscope.training.samples import LESSONS, Review, TrainingContext, build_samples, training_data

if TYPE_CHECKING:
    from memscope.training.send import Job, TrainingServer

__all__ = ["FineTuning", "Review"]

_THRESHOLD_NATS = 1.0
_UNKNOWN_JOB = (404, 405)
"""How a server answers that does not tell how its jobs go, or that has forgotten them."""


class FineTuning:
    """Everything about candidates of one run. All methods belong to the run's loop.

    Attributes:
        run: Whose responses.
        record: What the ledger says of the session.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        database = self._database = run.database
        self._decisions = Decisions(database)
        self._ledger = Ledger(database)
        self.record = Record(self._ledger, run.session.header.id, self._columns, self._gone)
        self._alternates = Alternates(database)
        self._divergences: dict[int, float] = {}
        self._weights: str | None = None
        self._teachers: dict[str, Rescorer] = {}
        self._named: tuple[tuple[Column, ...], dict[str, Column]] = ((), {})
        self._threshold = run.config.threshold
        self._settled: Rescorer | None = None

    @property
    def threshold(self) -> float:
        """Nats from which a response is a candidate: set here, else configured, else the last one ever set."""
        if self._threshold is not None:
            return self._threshold
        return self.run.settings.get("threshold", _THRESHOLD_NATS)

    @threshold.setter
    def threshold(self, nats: float) -> None:
        self._threshold = max(0.0, nats)
        self.run.settings.set("threshold", self._threshold)

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
        await self._open()
        responses, window = recent_responses(self.run.prompt, self._entries, count)
        window = window if context == "window" else None
        found = await self.run.of_one_model(
            lambda: strip_all(self.run.prompt, self.run.rescorer, responses, window=window, fresh=fresh)
        )
        self._divergences, self._weights = found, self.run.rescorer.weights
        for grid in self.run.grids.values():
            for index, nats in found.items():
                grid.stripped[index] = nats
        self.run.emit(StrippedDone())
        return self.findings()

    def findings(self) -> Findings:
        """Return the candidates among what was scored by the weights in use, under the present threshold and marks."""
        columns = self.run.grids["necessity"].columns
        divergences = self._divergences if self.current else {}
        return find_candidates(divergences, columns, self.marks().keys(), self.threshold)

    @property
    def current(self) -> bool:
        """Whether responses were scored without memories by the weights in use."""
        return bool(self._divergences) and self.run.scorer is not None and self.run.scorer.weights == self._weights

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
            if not (isinstance(error, StoreError) and text):
                self.run.emit(AlternateFailed(response, str(error)))
                return None
            self.run.emit(Trouble(f"the alternate of response {response} will not be remembered: {error}"))
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
        known = self._columns()
        return {known[key].index: verdict for key, verdict in self._decisions.verdicts(list(known)).items()}

    def marks(self) -> dict[int, Mark]:
        """Return what the ledger says of responses, by index."""
        known = self._columns()
        return {known[key].index: mark for key, mark in self._ledger.marks(list(known)).items()}

    @property
    def fleeting(self) -> bool:
        """Whether the weights in use were trained here and end with their scorer."""
        embedded = self.run.scorer is not None and self.run.scorer.kind == "embedded"
        return embedded and any(s.key in self._teachers and not self._gone(s) for s in self.record.shipments())

    async def review(self, responses: Sequence[int], context: TrainingContext, *, again: bool = False) -> Review:
        """Return what sending these responses would send.

        Args:
            responses: Indices in the matrix.
            context: Whether memories stay in the context.
            again: Also what was trained, or is in doubt.

        Raises:
            MemscopeError: Something in it cannot be sent; the line names the response.
        """
        from memscope.engines.transport import is_loopback

        await self._open()
        responses = tuple(dict.fromkeys(responses))
        if not responses:
            raise TrainingError("no response was chosen: nothing to send")
        samples = build_samples(self.run.prompt, responses, context, self.run.rescorer.scorer.info.max_tokens)
        if not again:
            self._ledger.check([Sample(self._id(index), index, None) for index in responses])
        address = self._server().address
        first = samples[0]
        return Review(
            responses=responses,
            samples=tuple(samples),
            address=address,
            loopback=is_loopback(address),
            known=self.run.settings.get(f"trusted {address}", False),
            context=context,
            lesson=LESSONS[context],
            example=(self.run.tokenizer.decode(first.context), self.run.tokenizer.decode(first.continuation)),
        )

    def trust(self, address: str) -> None:
        """Remember that the user agreed to send samples to an address."""
        from memscope.engines.transport import is_loopback

        if not is_loopback(address):
            self.run.settings.set(f"trusted {address}", True)

    async def send(
        self, review: Review, *, again: bool = False, options: Mapping[str, Any] | None = None
    ) -> tuple[str, Job]:
        """Send what was reviewed; return the shipment's key and the job.

        Cancelled before the request leaves, nothing is marked; later, the shipment is in doubt until the server has
        been asked.

        Args:
            review: What to send.
            again: Also what was trained, or is in doubt.
            options: How to train, where the server is told.

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
        before = await self._measured()
        samples = [Sample(self._id(i), i, before["stripped"][str(i)]) for i in review.responses]
        info = self.run.rescorer.scorer.info
        key = self._ledger.prepare(
            EMBEDDED * (info.kind == "embedded") + review.address,
            info.model,
            self.run.session.header.id,
            review.context,
            samples,
            again=again,
        )
        try:
            self._ledger.prove(key, {"before": before})
            self.context = review.context
            self._tell(key)
        except BaseException:
            self._ledger.discard(key)
            raise
        self._teachers[key] = self.run.rescorer
        try:
            job = await ship(self._ledger, self._server(), key, training_data(review.samples, info.model, options))
        finally:
            self._tell(key)
        return key, job

    async def watch(self, key: str, job: Job) -> Job:
        """Follow a job to its end and write that into the ledger.

        Returns:
            The job at its end; as it was seen last where the server does not tell.

        Raises:
            ScorerError: The server stopped answering; the job may go on there.
        """
        from memscope.engines.transport import RefusedError
        from memscope.training.send import conclude

        last = job
        try:
            async for last in self._server().progress(job):
                self.run.emit(JobProgress(last.id, last.status, last.step, last.steps, last.loss))
        except RefusedError as error:
            if error.status not in _UNKNOWN_JOB:
                raise
            self.run.emit(Trouble(f"the server does not tell how job {job.id} goes: {error}"))
        if last.ended:
            conclude(self._ledger, key, last)
            self._tell(key)
        return last

    async def verify(self, key: str) -> Proof:
        """Score a shipment's responses again, and the others, and keep before and after with the ledger's entry.

        Raises:
            MemscopeError: The scorer failed, or there is no such shipment, or its job has not succeeded.
        """
        shipment = self._ledger.shipment(key)
        if shipment is None or not shipment.proof or "before" not in shipment.proof:
            raise TrainingError(f"there is nothing to compare with for shipment {key}")
        if shipment.state != "succeeded":
            raise TrainingError(f"shipment {key} is {shipment.state}: there is nothing to compare before it succeeded")
        after = await self._measured()
        self._ledger.prove(key, {"before": shipment.proof["before"], "after": after})
        await self.find()
        return Proof.of([s.position for s in shipment.samples], shipment.proof["before"], after)

    async def settle(self) -> None:
        """Judge what ended processes left; ask the server about what is in doubt and about jobs that nobody watched.

        What cannot be judged now stays as it is, and is said.
        """
        from memscope.training.send import reconcile

        await self.run.open()
        server = self._server()
        self._settled = self.run.rescorer
        try:
            self._ledger.settle()
            shipments = self._ledger.shipments()
        except StoreError as error:
            self.run.emit(Trouble(f"what was sent earlier cannot be judged: {error}"))
            return
        for shipment in shipments:
            if shipment.state in ("accepted", "in doubt") and shipment.key in self._teachers and self._gone(shipment):
                self._ledger.failed(shipment.key, "the embedded scorer ended before the job did")
                self._tell(shipment.key)
            elif shipment.url.removeprefix(EMBEDDED) == server.address:
                try:
                    if await reconcile(self._ledger, server, shipment) is not None:
                        self._tell(shipment.key)
                except MemscopeError as error:
                    self.run.emit(Trouble(f"a shipment is {shipment.state}, and more is not known: {error}"))

    async def _open(self) -> None:
        await self.run.open()
        if self._settled is not self.run.rescorer:
            await self.settle()

    async def _measured(self) -> Measured:
        """Score what a proof compares: all responses, with everything before them as context."""
        await self.run.open()
        everyone = range(len(self.run.prompt.responses))

        async def measure() -> Measured:
            stripped = await strip_all(self.run.prompt, self.run.rescorer, everyone)
            return await measured(self.run.prompt, self.run.rescorer, stripped)

        return await self.run.of_one_model(measure)

    @property
    def _entries(self) -> int:
        return len(self.run.session.section("conversation"))

    def _server(self) -> TrainingServer:
        from memscope.training.send import TrainingServer

        return TrainingServer(self.run.transport)

    def _gone(self, shipment: Shipment) -> bool:
        """Whether what a shipment taught ended with its scorer."""
        if not shipment.url.startswith(EMBEDDED):
            return False
        return not self.run.is_open or self._teachers.get(shipment.key) is not self.run.rescorer

    def _columns(self) -> dict[str, Column]:
        columns = self.run.grids["necessity"].columns
        if self._named[0] is not columns:
            self._named = columns, {self._id(column.index): column for column in columns}
        return self._named[1]

    def _id(self, index: int) -> str:
        column = self.run.grids["necessity"].columns[index]
        return response_id(self.run.session.header.id, column.entry_index, column.timestamp, column.text)

    def _tell(self, key: str) -> None:
        with suppress(StoreError):  # whoever wrote it has said what is wrong
            if (shipment := self._ledger.shipment(key)) is not None:
                self.run.emit(ShipmentChanged(key, shipment.state, shipment.job, shipment.error))
