"""Candidates of one run: responses that depend on memories, the user's decisions, and their alternates."""

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
    """Finds candidates and stores the user's decisions. All methods must be called on the run's event loop.

    Responses are identified by id.
    """

    def __init__(self, run: Run, shipping: Shipping, marks: SessionMarks) -> None:
        self._run, self._shipping, self._marks = run, shipping, marks
        self._alternates = Alternates(run.database)
        self._divergences: dict[str, float] = {}
        self._table: AblationTable | None = None
        self._revision = 0
        self._threshold = run.config.threshold

    @property
    def threshold(self) -> float:
        """Minimum divergence of a candidate in nats: as set here, or else configured, or else as last saved."""
        if self._threshold is not None:
            return self._threshold
        return self._run.settings.get("threshold", _THRESHOLD_NATS)

    @threshold.setter
    def threshold(self, nats: float) -> None:
        self._run.config.require_writable()
        self._threshold = max(0.0, nats)
        self._run.settings.set("threshold", self._threshold)

    @property
    def alternates_on(self) -> bool:
        """Whether alternates are generated for candidates."""
        return not self._run.config.is_read_only and self._run.settings.get("alternates", False)

    @alternates_on.setter
    def alternates_on(self, on: bool) -> None:
        self._run.config.require_writable()
        self._run.settings.set("alternates", on)

    @property
    def current(self) -> bool:
        """Whether responses were scored without memories under the weights in use."""
        return bool(self._divergences) and self._table is self._run.table

    async def find(self, count: int | None = None, context: Context = "full", *, fresh: bool = False) -> Findings:
        """Score responses with all memories stripped and return the candidates.

        Args:
            count: Consider only the responses among this many most recent conversation nodes; None for all.
            context: "full" uses everything before a response as context, "window" only the recent nodes.
            fresh: Score again even if a score is known or stored.

        Raises:
            MemscopeError: No scorer is available, or it failed.
        """
        await self._shipping.open()
        run = self._run
        responses, window = recent_responses(run.layout, len(run.session.section("conversation")), count)

        async def score() -> tuple[AblationTable, int, dict[str, float]]:
            scorer = run.ablation_scorer()
            table, revision = scorer.table, scorer.table.revision
            if context == "window" and window is not None:
                return table, revision, await strip_all_within(scorer, responses, window, fresh=fresh)
            return table, revision, await strip_all(scorer, responses, fresh=fresh)

        self._table, self._revision, self._divergences = await run.retry_if_weights_change(score)
        for grid in run.grids.values():
            grid.refresh_responses()
        run.emit(StrippedDone())
        return self.findings()

    def findings(self) -> Findings:
        """Return the candidates under the weights in use, the current threshold and the current training marks."""
        known, table = self._divergences if self.current else {}, self._run.table
        divergences = {id_: nats for id_, nats in known.items() if table.is_valid(id_, self._revision)}
        return find_candidates(divergences, self._run.layout.columns, self._shipping.marks().keys(), self.threshold)

    def decide(self, responses: Collection[str], decision: Decision | None) -> asyncio.Future[None]:
        """Approve or reject responses; None clears the decision. It takes effect immediately.

        Returns:
            A future that is done once the decision is on disk. It raises StoreError if the decision could not be
            written, in which case it no longer applies.

        Raises:
            UsageError: Everything is read-only.
        """
        self._run.config.require_writable()
        return self._marks.decide(list(responses), decision)

    def decisions(self) -> dict[str, Decision]:
        """Return the decisions by response id, in the session's order."""
        return self._marks.decisions(self._run.layout.responses)

    def approved(self) -> list[str]:
        """Return the ids of the approved responses, in the session's order."""
        return [id_ for id_, decision in self.decisions().items() if decision == "approved"]

    async def alternate(self, response: str, seed: int = 0) -> str | None:
        """Generate the alternate of a response, reporting its progress as events. Return None if that failed."""
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
            run.emit(Notice(f"the alternate of response {place} was not stored: {error}"))
        run.emit(AlternateDone(response, text))
        return text
