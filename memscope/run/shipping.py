"""Shipping: send responses to training, follow the jobs, and measure their effect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memscope.errors import MemscopeError, StoreError, TrainingError
from memscope.run.run import Run
from memscope.scoring.events import JobProgress, Notice, ShipmentChanged
from memscope.scoring.finetune import strip_all
from memscope.scoring.rescoring import Rescorer
from memscope.scoring.table import NOTHING_LEFT_OUT
from memscope.store.ledger import EMBEDDED, Ledger, Sample, Shipment, TrainingMark
from memscope.store.session_marks import SessionMarks
from memscope.training.history import TrainingHistory
from memscope.training.proof import Measured, Proof
from memscope.training.samples import CONTEXT_EFFECTS, Review, TrainingContext, build_samples, training_data

if TYPE_CHECKING:
    from memscope.training.send import TrainingJob, TrainingServer

__all__ = ["Shipping"]

_UNKNOWN_JOB = (404, 405)
"""Statuses of a server that does not report on jobs, or no longer knows a job."""


class Shipping:
    """Sends responses of one run to training. Use it on the run's event loop only. Responses are identified by id.

    Attributes:
        history: The training history of the session.
    """

    def __init__(self, run: Run, marks: SessionMarks) -> None:
        self._run, self._marks = run, marks
        self._ledger = Ledger(run.database)
        self.history = TrainingHistory(lambda: marks.shipments, lambda: run.layout, self._lost)
        self._trained_by: dict[str, Rescorer] = {}
        self._settled: Rescorer | None = None

    async def open(self) -> None:
        """Open the run and, once per scorer, update the ledger.

        Raises:
            MemscopeError: No scorer is available.
        """
        await self._run.open()
        if self._settled is not self._run.rescorer:
            await self.settle()

    @property
    def context(self) -> TrainingContext:
        """Whether to train with or without memories in the context; persists between runs."""
        return "with" if self._run.settings.get("training_context", "without") == "with" else "without"

    @context.setter
    def context(self, context: TrainingContext) -> None:
        self._run.settings.set("training_context", context)

    def marks(self) -> dict[str, TrainingMark]:
        """Return the training marks of responses, by id."""
        return self._marks.marks(self._run.layout.responses)

    @property
    def has_unsaved_weights(self) -> bool:
        """Whether the weights in use were trained here and are lost when the scorer stops."""
        embedded = self._run.scorer is not None and self._run.scorer.kind == "embedded"
        return embedded and any(s.key in self._trained_by and not self._lost(s) for s in self.history.shipments())

    async def review(self, responses: Sequence[str], context: TrainingContext, *, again: bool = False) -> Review:
        """Return a preview of what would be sent for these responses.

        Args:
            responses: Response ids.
            context: Whether memories stay in the context.
            again: Also send responses already trained or in doubt.

        Raises:
            MemscopeError: A response cannot be sent; the message names it.
        """
        from memscope.engines.address import is_loopback

        await self.open()
        run, ids = self._run, tuple(dict.fromkeys(responses))
        if not ids:
            raise TrainingError("nothing to send: no response is selected")
        places = [place for id_ in ids if (place := run.layout.column_index(id_)) is not None]
        if len(places) < len(ids):
            raise TrainingError("a selected response is no longer in the session: nothing was sent")
        samples = build_samples(run.prompt, places, context, run.rescorer.scorer.info.max_tokens)
        if not again:
            wanted = [Sample(id_, place, None) for id_, place in zip(ids, places, strict=True)]
            await run.database.run(self._ledger.check, wanted)
        address = self._server().address
        first = samples[0]
        return Review(
            responses=ids,
            samples=tuple(samples),
            address=address,
            loopback=is_loopback(address),
            known=run.settings.get(f"trusted {address}", False),
            context=context,
            effect=CONTEXT_EFFECTS[context],
            example=(run.tokenizer.decode(first.context), run.tokenizer.decode(first.continuation)),
        )

    def trust(self, address: str) -> None:
        """Store that the user agreed to send samples to an address."""
        from memscope.engines.address import is_loopback

        if not is_loopback(address):
            self._run.settings.set(f"trusted {address}", True)

    async def send(
        self, review: Review, *, again: bool = False, options: Mapping[str, Any] | None = None
    ) -> tuple[str, TrainingJob]:
        """Send what was reviewed, and return the shipment's key and the job.

        If it is cancelled before the request is sent, nothing is recorded; if later, the shipment is in doubt until
        the server has been asked.

        Args:
            review: What to send.
            again: Also send responses already trained or in doubt.
            options: Training options to include in the request.

        Raises:
            TrainingError: It was refused, failed, or is in doubt, as recorded in the ledger.
            StoreError: The ledger cannot be written: nothing was sent.
            UsageError: Everything is read-only.
        """
        from memscope.training.send import ship

        self._run.config.require_writable()
        if self._run.database.path is None:
            raise StoreError(
                "the state database is in memory only and could not record what was sent: nothing was sent"
            )
        await self.settle()
        key = await self._prepare(review, await self._measure(), again=again)
        self._trained_by[key] = self._run.rescorer
        body = training_data(review.samples, self._run.rescorer.scorer.info.model, options)
        try:
            job = await ship(self._ledger, self._server(), key, body)
        finally:
            await self._announce(key)
        return key, job

    async def watch(self, key: str, job: TrainingJob) -> TrainingJob:
        """Follow a job until it ends and record the outcome in the ledger.

        Returns:
            The ended job, or its last known state if the server does not report on jobs.

        Raises:
            ScorerError: The server stopped answering; the job may continue there.
        """
        from memscope.engines.transport import RefusedError
        from memscope.training.send import conclude

        last = job
        try:
            async for last in self._server().progress(job):
                self._run.emit(JobProgress(last.id, last.status, last.step, last.steps, last.loss))
        except RefusedError as error:
            if error.status not in _UNKNOWN_JOB:
                raise
            self._run.emit(Notice(f"the server does not report the progress of job {job.id}: {error}"))
        if last.status == "succeeded" and self._run.is_open:
            self._run.rescorer.scorer.note_training(last.id)
        if last.ended:
            await conclude(self._ledger, key, last)
            await self._announce(key)
        return last

    async def verify(self, key: str) -> Proof:
        """Score all responses again after a job, and store before and after in the ledger.

        Raises:
            MemscopeError: The scorer failed, the shipment does not exist, or its job has not succeeded.
        """
        shipment = self.history.shipment(key)
        if shipment is None or not shipment.proof or "before" not in shipment.proof:
            raise TrainingError(f"shipment {key} has no measurement from before training to compare with")
        if shipment.state != "succeeded":
            raise TrainingError(f"shipment {key} is {shipment.state}: it can be compared only after it succeeded")
        after = await self._measure()
        await self._run.database.run(self._ledger.save_proof, key, {"before": shipment.proof["before"], "after": after})
        await self._marks.reload()
        return Proof.of([sample.response for sample in shipment.samples], shipment.proof["before"], after)

    async def settle(self) -> None:
        """Update ledger entries that are in doubt, whose process ended, or whose job was not followed.

        Entries whose outcome cannot be determined now are left unchanged, and the user is told.
        """
        await self._run.open()
        server = self._server()
        self._settled = self._run.rescorer
        try:
            await self._run.database.run(self._ledger.settle)
            shipments = await self._run.database.run(self._ledger.shipments)
            await self._marks.reload()
        except StoreError as error:
            self._run.emit(Notice(f"the state of earlier shipments cannot be read: {error}"))
            return
        for shipment in shipments:
            await self._settle(shipment, server)

    async def _settle(self, shipment: Shipment, server: TrainingServer) -> None:
        from memscope.training.send import reconcile

        if shipment.state in ("accepted", "in doubt") and shipment.key in self._trained_by and self._lost(shipment):
            why = "the embedded scorer stopped before the job ended"
            await self._run.database.run(self._ledger.mark_failed, shipment.key, why)
            await self._announce(shipment.key)
        elif shipment.url.removeprefix(EMBEDDED) == server.address:
            try:
                if await reconcile(self._ledger, server, shipment) is not None:
                    await self._announce(shipment.key)
            except MemscopeError as error:
                self._run.emit(
                    Notice(f"a shipment is {shipment.state}, and its outcome could not be determined: {error}")
                )

    async def _prepare(self, review: Review, before: Measured, *, again: bool) -> str:
        """Record the shipment and its measurement before training in the ledger; undone if cancelled."""
        run = self._run
        samples = [
            Sample(id_, sample.index, before["stripped"].get(id_))
            for id_, sample in zip(review.responses, review.samples, strict=True)
        ]
        info, session = run.rescorer.scorer.info, run.session.header.id
        address = EMBEDDED * (info.kind == "embedded") + review.address

        def write() -> str:
            key = self._ledger.prepare(address, info.model, session, review.context, samples, again=again)
            try:
                self._ledger.save_proof(key, {"before": before})
            except StoreError:
                self._ledger.discard(key)
                raise
            return key

        writing = asyncio.ensure_future(run.database.run(write))
        try:
            key = await asyncio.shield(writing)
            self.context = review.context
            await self._announce(key)
        except asyncio.CancelledError:
            await run.database.run(self._ledger.discard, await writing)
            raise
        return key

    async def _measure(self) -> Measured:
        """Measure all responses, with everything before them as context, for a comparison before and after."""
        run = self._run
        await run.open()

        async def measure() -> Measured:
            scorer = run.ablation_scorer()
            stripped = await strip_all(scorer, scorer.layout.responses)
            return {
                "stripped": stripped,
                "logprob": {id_: scorer.table.get(NOTHING_LEFT_OUT, id_) for id_ in stripped},
            }

        return await run.retry_if_weights_change(measure)

    def _server(self) -> TrainingServer:
        from memscope.training.send import TrainingServer

        return TrainingServer(self._run.transport)

    def _lost(self, shipment: Shipment) -> bool:
        """Return whether the weights that a shipment trained were lost when their scorer stopped."""
        if not shipment.url.startswith(EMBEDDED):
            return False
        return not self._run.is_open or self._trained_by.get(shipment.key) is not self._run.rescorer

    async def _announce(self, key: str) -> None:
        with suppress(StoreError):  # the writer has already reported the error
            await self._marks.reload()
            shipment = await self._run.database.run(self._ledger.shipment, key)  # it may belong to another session
            if shipment is not None:
                self._run.emit(ShipmentChanged(key, shipment.state, shipment.job, shipment.error))
