"""Shows the cell under the cursor in the detail pane, and requests its tokens once the cursor rests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import isnan, nan
from typing import TYPE_CHECKING, Any, TypeAlias

from memscope.errors import MemscopeError
from memscope.scoring.grid import Measure
from memscope.scoring.plausibility import mean_logprob
from memscope.session.presence import version_before
from memscope.ui.detail import CellFacts, DetailPane
from memscope.ui.heatmap.view import HeatmapView

if TYPE_CHECKING:
    from memscope.run.run import Run
    from memscope.scoring.tokens import CellTokens

__all__ = ["CellWatch"]

_REST_SECONDS = 0.25
_Cell: TypeAlias = tuple[Measure, str, str]


class CellWatch:
    """Follows the cursor of a heatmap.

    Attributes:
        delta: Whether the map shows changes since the weights changed.
    """

    def __init__(
        self,
        run: Run,
        view: HeatmapView,
        pane: DetailPane,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._run, self._view, self._pane, self._start = run, view, pane, start
        self._measure: Measure = "necessity"
        self.delta = False
        self._cell: _Cell | None = None
        self._value: float | None = None
        self._tokens: CellTokens | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def moved(self, measure: Measure) -> None:
        """Show the cell now, and its tokens once the cursor rests, if the cell has a value."""
        self._measure = measure
        facts = self.facts()
        if facts is None:
            self._drop()
            self._pane.show(None)
            return
        cell = (measure, facts.row.key, facts.column.id)
        value = None if isnan(facts.value) else facts.value
        if cell != self._cell or (self._value is not None and value != self._value):
            self._drop()
        if self._value is None and value is not None and self._should_ask(facts):
            self._rest = asyncio.get_running_loop().call_later(_REST_SECONDS, self.ask)
        self._cell, self._value = cell, value
        if self._asking is None or self._asking.done():
            self._pane.show(facts, self._tokens)

    def _should_ask(self, facts: CellFacts) -> bool:
        # Moving the cursor must not restart a lost scorer.
        known = self._tokens is not None or self._asking is not None
        return not known and self._run.state != "failed" and not facts.absent and facts.status != "failed"

    def ask(self) -> None:
        """Request the tokens of the cell now, whether or not it has a value yet."""
        facts = self.facts()
        if facts is None or facts.absent or self._tokens is not None:
            return
        if self._rest is not None:
            self._rest.cancel()
        if self._asking is None or self._asking.done():
            self._asking = self._start(self._ask(facts))

    def facts(self) -> CellFacts | None:
        """Return the grid's data on the cell; None if no row is shown."""
        grid, key, response = self._run.grids[self._measure], self._view.key, self._view.response
        row = None if key is None else grid.layout.row_index(key)
        column = None if response is None else grid.layout.column_index(response)
        if row is None or column is None:
            return None
        return CellFacts(
            self._measure,
            grid.rows[row],
            grid.columns[column],
            grid.values[row][column],
            grid.status[row],
            grid.errors.get(grid.rows[row].key, ""),
            grid.noise_floor,
            self._earlier(grid.rows[row].key, grid.columns[column].id) if self.delta else None,
            version_before(self._run.session, key, column) if key and len(grid.rows[row].versions) > 1 else "",
            grid.cited(column),
            self._run.scorer.model if self._run.scorer else "",
            mean_logprob(self._run.grids["necessity"], grid.columns[column]),
        )

    def _earlier(self, key: str, response: str) -> float:
        grid = self._run.earlier_grids[self._measure]
        row, column = grid.layout.row_index(key), grid.layout.column_index(response)
        return nan if row is None or column is None else grid.values[row][column]

    def _drop(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._rest = self._asking = self._tokens = self._cell = self._value = None

    async def _ask(self, facts: CellFacts) -> None:
        self._pane.show(facts, None, "loading the tokens …")
        try:
            self._tokens = await self._run.tokens(self._measure, facts.row.key, facts.column.id)
            self._pane.show(self.facts(), self._tokens)
        except MemscopeError as error:
            self._pane.show(facts, None, f"no token-level values: {error}")
