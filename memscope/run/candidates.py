"""Candidates of one run: which responses lean on memories, what was decided about them, what is said without."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from memscope.engines.base import Sampling
from memscope.errors import MemscopeError, StoreError
from memscope.run.run import Run
from memscope.run.shipping import Shipping
from memscope.scoring.alternates import generate_alternate
from memscope.scoring.events import AlternateDone, AlternateFailed, AlternateGrew, Notice, StrippedDone
from memscope.scoring.finetune import (
    Context,
    Findings,
    find_candidates,
    recent_responses,
    strip_all,
    strip_all_within,
)
from memscope.scoring.table import AblationTable
from memscope.store.alternates import Alternates
from memscope.store.decisions import Decision
from memscope.store.session_marks import SessionMarks

__all__ = ["Candidates"]

_THRESHOLD_NATS = 1.0


class Candidates:
    """Finds candidates and keeps what the user decided. All methods belong to the run's loop.

    Responses are named by id.
    """

    def __init__(self, run: Run, shipping: Shipping, marks: SessionMarks) -> None:
        self._run, self._shipping, self._marks = run, shipping, marks
        self._alternates = Alternates(run.database)
        self._divergences: dict[str, float] = {}
        self._table: AblationTable | None = None
        self._edition = 0
        self._threshold = run.config.threshold

    @property
    def threshold(self) -> float:
        """Nats from which a response is a candidate: set here, else configured, else the last one ever set."""
        if self._threshold is not None:
            return self._threshold
        return self._run.settings.get("threshold", _THRESHOLD_NATS)

    @threshold.setter
    def threshold(self, nats: float) -> None:
        self._threshold = max(0.0, nats)
        self._run.settings.set("threshold", self._threshold)

    @property
    def alternates_on(self) -> bool:
        """Whether alternates are generated for candidates."""
        return self._run.settings.get("alternates", False)

    @alternates_on.setter
    def alternates_on(self, on: bool) -> None:
        self._run.settings.set("alternates", on)

    @property
    def current(self) -> bool:
        """Whether responses were scored without memories by the weights in use."""
        return bool(self._divergences) and self._table is self._run.table

    async def find(self, count: int | None = None, context: Context = "full", *, fresh: bool = False) -> Findings:
        """Score responses with all memories stripped and return the candidates.

        Args:
            count: Only the responses among that many most recent nodes of the conversation; None is all.
            context: "full" keeps everything before as context, "window" only the recent nodes.
            fresh: Ask the scorer again even where a score is known or remembered.

        Raises:
            MemscopeError: There is no scorer, or it failed.
        """
        await self._shipping.open()
        run = self._run
        responses, window = recent_responses(run.layout, len(run.session.section("conversation")), count)

        async def score() -> tuple[AblationTable, int, dict[str, float]]:
            scorer = run.ablation_scorer()
            table, edition = scorer.table, scorer.table.edition
            if context == "window" and window is not None:
                return table, edition, await strip_all_within(scorer, responses, window, fresh=fresh)
            return table, edition, await strip_all(scorer, responses, fresh=fresh)

        self._table, self._edition, self._divergences = await run.retry_if_weights_change(score)
        for grid in run.grids.values():
            grid.refresh_responses()
        run.emit(StrippedDone())
        return self.findings()

    def findings(self) -> Findings:
        """Return the candidates among what was scored by the weights in use, under the present threshold and marks."""
        known, table = self._divergences if self.current else {}, self._run.table
        divergences = {id_: nats for id_, nats in known.items() if table.holds(id_, self._edition)}
        return find_candidates(divergences, self._run.layout.columns, self._shipping.marks().keys(), self.threshold)

    def decide(self, responses: Collection[str], decision: Decision | None) -> asyncio.Future[None]:
        """Approve or reject responses; None takes it back. It counts at once.

        Returns:
            What to await: done once the decision is on the disk. It raises StoreError when it could not be written, and
            then it no longer counts.
        """
        return self._marks.decide(list(responses), decision)

    def decisions(self) -> dict[str, Decision]:
        """Return the decisions by response id, in the session's order."""
        return self._marks.decisions(self._run.layout.responses)

    def approved(self) -> list[str]:
        """Return the ids of the approved responses, in the session's order."""
        return [id_ for id_, decision in self.decisions().items() if decision == "approved"]

    async def alternate(self, response: str, seed: int = 0) -> str | None:
        """Generate what the model says in a response's place; events tell how it grows. None when it failed."""
        run = self._run
        await run.open()
        (place,) = run.layout.positions([response])
        text = ""
        try:
            await run.refresh_weights()
            stream = generate_alternate(
                run.prompt, run.rescorer.scorer, self._alternates, place, Sampling(seed=seed), run.tokenizer.decode
            )
            async for text in stream:
                run.emit(AlternateGrew(response, text))
        except MemscopeError as error:
            if not (isinstance(error, StoreError) and text):
                run.emit(AlternateFailed(response, str(error)))
                return None
            run.emit(Notice(f"the alternate of response {place} will not be remembered: {error}"))
        run.emit(AlternateDone(response, text))
        return text
