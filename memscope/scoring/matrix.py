"""The full matrix: a baseline, then one ablation per memory over the whole session, row by row.

Necessity of memory i for response r is f(A, r) - f(A without i, r), its sufficiency f({i}, r) - f(none, r), in signed
nats, where f is the log-probability of the response's tokens and A is all memories.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from memscope.errors import ScorerError, ScorerGoneError
from memscope.prompt.prompt import MemorySpan
from memscope.prompt.sequence import Variant
from memscope.scoring.batches import response_batches
from memscope.scoring.events import (
    BaselineDone,
    Event,
    NoiseFloorMeasured,
    Notice,
    Progress,
    RowDone,
    RowFailed,
    RowStarted,
    StrippedDone,
)
from memscope.scoring.grid import Grid, baseline_ablation, row_ablation
from memscope.scoring.rescoring import AblationScorer, WeightsChangedError, check_fits
from memscope.scoring.table import ALL_LEFT_OUT
from memscope.terminal.counts import counted

__all__ = ["MatrixJob", "noise_floor"]

_NOISE_FACTOR = 3.0
_FLOOR_SHARE = 0.5
"""Minimum share of a session's responses that the noise floor of a full matrix must be measured on."""

_FLOOR_SEQUENCES = 8
"""Maximum number of sequences that are forwarded along another path, which reuses no prefixes."""

_LEAST_NATS = 1e-5
"""Assumed rounding error of one token, in nats, in case two paths happen to agree."""


def noise_floor(differences: Iterable[float], tokens: int) -> float:
    """Return the number of nats up to which a divergence is indistinguishable from zero.

    At least 99 % of the cells of two runs on different computation paths, devices or thread counts differ by no more
    than this; `tests/benchmarks/check_noise_floor.py` measures it.

    Args:
        differences: For each response, its log-probability along one path minus that along another, in nats.
        tokens: Length of the longest response.
    """
    return max(_NOISE_FACTOR * max(map(abs, differences), default=0.0), _LEAST_NATS * math.sqrt(tokens))


@dataclass(slots=True)
class MatrixJob:
    """One scoring pass over a grid; it can be run once.

    Attributes:
        scorer: Scores ablations into the grid's table.
        grid: The grid to fill.
        emit: Called with every event.
        gate: Awaited before each row; pausing closes it.
        stop: Asked before each row; once it returns True, no further rows are started.
        fresh: Score again even if a score is known or stored.
        responses: Score only these response ids; other cells keep their values. None for all.
    """

    scorer: AblationScorer
    grid: Grid
    emit: Callable[[Event], None]
    gate: Callable[[], Awaitable[object]]
    stop: Callable[[], bool] = lambda: False
    fresh: bool = False
    responses: Collection[str] | None = None
    _done: int = 0
    _total: int = 0
    _batches: int = 1
    _began: float = 0.0
    _work_done: int = 0
    _work_left: int = 0

    async def run(self, keys: Sequence[str] | None = None) -> None:
        """Score the baseline, the noise floor and the rows.

        Args:
            keys: The memory keys of the rows; None for all. Those that the session no longer has are ignored.

        Raises:
            ScorerError: The baseline failed, or the scorer is gone; finished rows are kept.
            WeightsChangedError: The weights changed meanwhile; rows from before and after must not be mixed.
            PromptError: The session does not fit the model; where it has several sequences, none of them does.
        """
        scorer = self.scorer
        self._leave_out_the_too_long()
        places = None if self.responses is None else scorer.layout.positions(self.responses)
        check_fits(scorer.prompt, scorer.rescorer, scorer.prompt.variants(responses=places))
        spans = self._spans
        keys = scorer.layout.keys if keys is None else [key for key in keys if key in spans]
        cache = scorer.rescorer.scorer.info.prefix_cache_tokens
        batches = response_batches(scorer.prompt, scorer.layout, self.responses, cache)
        self._total, self._batches, self._began = len(keys) * len(batches), len(batches), time.monotonic()
        self._work_left = sum(spans[key].tokens_after for key in keys)
        self.emit(Progress(0, self._total, None, None))
        wants_floor = self._wants_noise_floor(keys)
        for number, batch in enumerate(batches):
            await self._baseline(batch)
            if wants_floor or not self.fresh:
                await self._without_memories(batch, measure_floor=wants_floor and not number)
            await self._rows(keys, batch)
            if self.stop():
                break

    def _leave_out_the_too_long(self) -> None:
        """Score the calls that fit the model, such as those after a compaction, though others do not."""
        scorer, info = self.scorer, self.scorer.rescorer.scorer.info
        wanted = scorer.layout.responses if self.responses is None else self.responses
        fitting = scorer.fitting(wanted)
        if info.max_tokens is None or len(fitting) == len(wanted):
            return
        self.responses = fitting
        count, where = len(wanted) - len(fitting), scorer.prompt.overflow(info.max_tokens)
        self.emit(Notice(f"{counted(count, 'response')} not scored: too long for {info.model}; {where}"))

    def _wants_noise_floor(self, keys: Sequence[str]) -> bool:
        layout, grid = self.scorer.layout, self.grid
        if self.fresh and self.responses is None and len(keys) == len(layout.keys):
            return True
        # A noise floor measured on a few responses is not representative of the others.
        few = grid.noise_floor_responses < _FLOOR_SHARE * len(layout.responses)
        return grid.noise_floor is None or (self.responses is None and few)

    async def _baseline(self, responses: Collection[str] | None) -> None:
        await self.gate()
        await self.scorer.fill(baseline_ablation(self.grid.measure), responses, fresh=self.fresh)
        self.grid.refresh()
        self.emit(BaselineDone(self.grid.measure))

    async def _without_memories(self, responses: Collection[str] | None, *, measure_floor: bool) -> None:
        try:
            await self.scorer.fill(ALL_LEFT_OUT, responses, fresh=self.fresh)
            self.grid.refresh_responses()
            self.emit(StrippedDone())
            if measure_floor and not self.stop():
                await self._noise_floor()
        except (ScorerGoneError, WeightsChangedError):
            raise
        except ScorerError as error:
            self.emit(Notice(f"the noise floor was not measured: {error}"))

    async def _noise_floor(self) -> None:
        """Score a sample of the responses without memories along a second computation path, and compare.

        With memories a model is often certain of its responses, and certain tokens have little rounding error; without
        memories the differences are largest.
        """
        scorer = self.scorer
        variants = _sample(scorer.variants(ALL_LEFT_OUT, self.responses))
        sampled = {scorer.layout.responses[index] for variant in variants for index in variant.owners}
        await scorer.fill(ALL_LEFT_OUT, sampled)
        again = await scorer.rescorer.score(variants, scorer.cost, second_path=True)
        scorer.expect_same_weights()
        columns = scorer.layout.columns
        found = {n: score.total - scorer.table.get(ALL_LEFT_OUT, columns[n].id) for n, score in again.items()}
        differences = {n: nats for n, nats in found.items() if not math.isnan(nats)}
        if differences:
            floor = noise_floor(differences.values(), max(columns[n].tokens or 0 for n in differences))
            self.grid.noise_floor = floor
            self.grid.noise_floor_responses = len(columns if self.responses is None else self.responses)
            self.emit(NoiseFloorMeasured(floor))

    @property
    def _spans(self) -> dict[str, MemorySpan]:
        return {memory.key: memory for memory in self.scorer.prompt.memories}

    async def _rows(self, keys: Sequence[str], responses: Collection[str] | None) -> None:
        spans, wanted = self._spans, None if responses is None else frozenset(responses)
        waiting = [spans[key] for key in reversed(keys)]
        running: set[asyncio.Task[None]] = set()
        finished: set[asyncio.Task[None]] = set()
        try:
            while waiting or running:
                while waiting and len(running) < self.scorer.rescorer.scorer.concurrency:
                    await self.gate()
                    if self.stop():
                        waiting.clear()
                    else:
                        running.add(asyncio.create_task(self._row(waiting.pop(), wanted)))
                if not running:
                    break
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            # Those that finished too: when several rows lose their scorer at once, one error speaks for all.
            await asyncio.gather(*running, *finished, return_exceptions=True)

    async def _row(self, memory: MemorySpan, responses: Collection[str] | None) -> None:
        grid, key = self.grid, memory.key
        grid.start_row(key)
        self.emit(RowStarted(grid.measure, key))
        error: str | None = None
        cached = False
        try:
            cached = await self.scorer.fill(
                row_ablation(grid.measure, key), self._affected(key, responses), fresh=self.fresh
            )
        except (ScorerGoneError, WeightsChangedError, asyncio.CancelledError):
            grid.stop_row(key)
            raise
        except ScorerError as failure:
            error = str(failure)
        grid.stop_row(key, error)
        self._emit_row(key, cached, error)
        self._emit_progress(memory.tokens_after // self._batches, worked=error is None and not cached)

    def _affected(self, key: str, responses: Collection[str] | None) -> list[str]:
        affected = self.scorer.layout.affected_responses(key)
        return [id_ for id_ in affected if responses is None or id_ in responses]

    def _emit_row(self, key: str, cached: bool, error: str | None) -> None:
        measure = self.grid.measure
        if error is not None:
            self.emit(RowFailed(measure, key, error))
            return
        self.grid.refresh_row(key)
        row = self.grid.layout.row_index(key)
        if row is not None:
            self.emit(RowDone(measure, key, self.grid.maximum(row), self.grid.cells_set(row), cached))

    def _emit_progress(self, cost: int, *, worked: bool) -> None:
        self._done += 1
        self._work_left -= cost
        self._work_done += cost * worked
        seconds = max(time.monotonic() - self._began, 1e-6)
        eta = self._work_left * seconds / self._work_done if self._work_done else None
        self.emit(Progress(self._done, self._total, self._done / seconds, eta))


def _sample(variants: Sequence[Variant]) -> Sequence[Variant]:
    """Return some sequences, evenly spaced over all of them, with the last."""
    step = max(1, -(-len(variants) // _FLOOR_SEQUENCES))
    return variants[::-1][::step]
