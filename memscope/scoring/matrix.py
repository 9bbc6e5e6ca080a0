"""The full matrix: a baseline, then one leave-out a memory over the whole session, rows as they complete.

Necessity of memory i for response r is f(A, r) - f(A without i, r), its sufficiency f({i}, r) - f(none, r), in signed
nats, where f is the log-probability of the response's tokens and A is all memories.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import isnan

from memscope.errors import ScorerError, ScorerGoneError
from memscope.prompt.prompt import Prompt, Variant
from memscope.scoring.events import (
    BaselineDone,
    Event,
    NoiseFloorMeasured,
    Progress,
    RowDone,
    RowFailed,
    RowStarted,
)
from memscope.scoring.grid import Grid, Measure, RowStatus
from memscope.scoring.rescoring import Rescorer, ResponseScore, WeightsChangedError, check_fits

__all__ = ["MatrixJob", "leave_out", "null_path"]

_NULL_PATH_SHARE = 0.01
"""The noise floor may cost this share of the matrix, or one response where that is more."""


def leave_out(prompt: Prompt, measure: Measure, row: int, columns: Collection[int]) -> list[Variant]:
    """Return the sequences of one row: those of `columns` that the row's memory can affect."""
    memory = prompt.memories[row]
    affected = [index for index in sorted(columns) if index >= memory.first_response]
    if not affected:
        return []
    if measure == "necessity":
        return prompt.variants({memory.key}, responses=affected)
    others = {other.key for other in prompt.memories} - {memory.key}
    return prompt.variants(others, responses=affected)


def null_path(variants: Sequence[Variant], budget: int) -> tuple[Variant, int]:
    """Choose what to compute twice for the noise floor.

    Args:
        variants: The baseline.
        budget: Tokens it may cost.

    Returns:
        The last sequence cut down to its last responses, and the position from which to compute it again.
    """
    last = variants[-1]
    kept = 1
    while kept < len(last.ranges) and len(last.ids) - last.ranges[-kept - 1][0] <= budget:
        kept += 1
    ranges = last.ranges[-kept:]
    return Variant(ids=last.ids, ranges=ranges, owners=last.owners[-kept:]), ranges[0][0] - 1


@dataclass(slots=True)
class MatrixJob:
    """One measurement of a grid; run it once.

    Attributes:
        prompt: The tokenised session.
        rescorer: Where scores come from.
        grid: What is filled.
        measure: What its rows mean.
        emit: Called with every event.
        gate: Awaited before each row; pausing closes it.
        fresh: Ask again even where a score is remembered.
        columns: Score these responses only; the other cells of a row stay as they are.
    """

    prompt: Prompt
    rescorer: Rescorer
    grid: Grid
    measure: Measure
    emit: Callable[[Event], None]
    gate: Callable[[], Awaitable[object]]
    fresh: bool = False
    columns: Collection[int] | None = None
    _base: dict[int, ResponseScore] = field(default_factory=dict)
    _weights: str = ""
    _done: int = 0
    _total: int = 0
    _began: float = 0.0
    _work_done: int = 0
    _work_left: int = 0

    async def run(self, rows: Sequence[int] | None = None) -> None:
        """Score the baseline, the noise floor and the rows (all of them by default).

        Raises:
            ScorerError: The baseline failed, or the scorer is gone; finished rows stay.
        WeightsChangedError: A training job ended meanwhile; rows scored before and after do not belong together.
            PromptError: The session does not fit the model.
        """
        check_fits(self.prompt, self.rescorer, self.prompt.variants())
        rows = range(len(self.grid.rows)) if rows is None else rows
        self._weights = self.rescorer.weights
        self.emit(Progress(0, len(rows), None, None))
        await self._baseline()
        await self._rows(rows)

    @property
    def _columns(self) -> Collection[int]:
        return range(len(self.grid.columns)) if self.columns is None else self.columns

    async def _baseline(self) -> None:
        without = () if self.measure == "necessity" else {memory.key for memory in self.prompt.memories}
        variants = self.prompt.variants(without, responses=self._columns)
        await self.gate()
        self._base = await self.rescorer.score(variants, fresh=self.fresh)
        self.rescorer.expect(self._weights)
        if self.measure == "necessity":
            for index, score in self._base.items():
                self.grid.logprob[index] = score.total
        self.emit(BaselineDone(self.measure))
        if self.columns is None or self.grid.noise_floor is None:
            await self._noise_floor(variants)

    async def _noise_floor(self, variants: Sequence[Variant]) -> None:
        cost = sum(len(v.ids) for v in variants) + sum(self._row_cost(n) for n in range(len(self.grid.rows)))
        variant, position = null_path(variants, int(_NULL_PATH_SHARE * cost))
        again = await self.rescorer.score([variant], from_position=position)
        # A response that owns ranges outside the null path is only partly there and is left out.
        whole = {owner for owner in variant.owners if owner not in set(variants[-1].owners[: -len(variant.owners)])}
        floor = max((abs(again[owner].total - self._base[owner].total) for owner in whole), default=0.0)
        self.grid.noise_floor = floor
        self.emit(NoiseFloorMeasured(floor))

    def _row_cost(self, row: int) -> int:
        memory = self.prompt.memories[row]
        if memory.first_response >= len(self.prompt.responses):
            return 0
        return max(0, self.prompt.tokens - memory.first_position - memory.tokens)

    async def _rows(self, rows: Sequence[int]) -> None:
        self._total = len(rows)
        self._began = time.monotonic()
        self._work_left = sum(self._row_cost(row) for row in rows)
        waiting = list(reversed(rows))
        running: set[asyncio.Task[None]] = set()
        finished: set[asyncio.Task[None]] = set()
        try:
            while waiting or running:
                while waiting and len(running) < self.rescorer.scorer.concurrency:
                    await self.gate()
                    running.add(asyncio.create_task(self._row(waiting.pop())))
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            # Those that finished too: when several rows lose their scorer at once, one error speaks for all.
            await asyncio.gather(*running, *finished, return_exceptions=True)

    async def _row(self, row: int) -> None:
        before, error = self.grid.status[row], self.grid.errors.get(row)
        self.grid.status[row] = "running"
        self.emit(RowStarted(self.measure, row))
        try:
            variants = leave_out(self.prompt, self.measure, row, self._columns)
            scores = await self.rescorer.score(variants, fresh=self.fresh)
            self.rescorer.expect(self._weights)
        except (ScorerGoneError, WeightsChangedError, asyncio.CancelledError):
            self.grid.status[row] = "done" if before == "done" else "waiting"
            raise
        except ScorerError as failure:
            self.grid.fail_row(row, str(failure))
            self.emit(RowFailed(self.measure, row, str(failure)))
            self._work_left -= self._row_cost(row)
        else:
            self.grid.set_row(row, self._values(row, scores))
            if self.columns is not None and before != "done":
                # Only some cells are new: what the others wait for, or failed with, stays as it was.
                self._restore(row, before, error)
            cached = all(score.cached for score in scores.values())
            self.emit(
                RowDone(self.measure, row, self.grid.maximum(row), self.grid.cells_set(row), cached),
            )
            self._count(row, cached)
        self._done += 1
        self._progress()

    def _restore(self, row: int, status: RowStatus, error: str | None) -> None:
        if any(isnan(value) for value in self.grid.values[row]):
            self.grid.status[row] = status
            if error is not None:
                self.grid.errors[row] = error

    def _values(self, row: int, scores: dict[int, ResponseScore]) -> array[float]:
        values = self.grid.values[row][:]
        for index, score in scores.items():
            change = self._base[index].total - score.total
            values[index] = change if self.measure == "necessity" else -change
        return values

    def _count(self, row: int, cached: bool) -> None:
        cost = self._row_cost(row)
        self._work_left -= cost
        if not cached:
            self._work_done += cost

    def _progress(self) -> None:
        seconds = max(time.monotonic() - self._began, 1e-6)
        eta = self._work_left * seconds / self._work_done if self._work_done else None
        self.emit(Progress(self._done, self._total, self._done / seconds, eta))
