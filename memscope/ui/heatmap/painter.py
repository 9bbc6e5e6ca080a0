"""Draws the lines of the heatmap as strips, independent of widgets.

A line of cells has one segment per run of equal cells, and is cached until its row, the scroll position, the layout or
the look changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from math import isnan

from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip

from memscope.terminal.safe import fit
from memscope.ui.heatmap.geometry import SUMS, Geometry
from memscope.ui.heatmap.rows import GridRows
from memscope.ui.palette import Palette
from memscope.ui.scale import ABSENT

__all__ = ["Painter", "number"]

_DIM, _BOLD, _PLAIN = Style(dim=True), Style(bold=True), Style()
_FAILED = Style(bold=True, color="red")
_CURSOR = Style(color="black", bgcolor="white", bold=True)
_BARS = " ▁▂▃▄▅▆▇█"
_MARKS = {"waiting": "·", "running": ">", "done": " ", "failed": "×"}
_KEY_STYLES = {"waiting": _DIM, "running": _BOLD, "done": _PLAIN, "failed": _FAILED}
_CACHED_LINES = 1024


def number(nats: float, width: int) -> str:
    """Return nats right-aligned in `width` cells, with as many decimals as fit."""
    if isnan(nats):
        return "·".rjust(width)
    decimals = 2 if abs(nats) < 1000 else 0
    return f"{nats:{width}.{decimals}f}"


class Painter:
    """Draws one `GridRows` with one palette."""

    def __init__(self, rows: GridRows, palette: Palette) -> None:
        self.rows = rows
        self.palette = palette
        self._lines: LRUCache[object, Strip] = LRUCache(_CACHED_LINES)

    def header(self, g: Geometry, width: int, scroll_x: int) -> Strip:
        """Draw the response numbers."""
        first, shown = g.first_cell(scroll_x), g.shown_cells(width, scroll_x)
        digits = len(str(max(0, len(self.rows.grid.columns) - 1)))
        every = -(-(digits + 1) // g.cell)
        number = self.rows.shown.number
        labels = "".join(
            f"{number(index * g.columns_per_cell):<{every * g.cell}}" for index in range(first, first + shown, every)
        )
        middle = labels[: shown * g.cell].ljust(shown * g.cell)
        return Strip([Segment(fit("memory", g.gutter), _DIM), Segment(middle, _DIM), Segment("sum".rjust(SUMS), _DIM)])

    def line(self, g: Geometry, line: int, width: int, scroll_x: int) -> Strip:
        """Draw a line of rows: key, cells, sum."""
        members = self._members(g, line)
        rows = self.rows
        first, shown = g.first_cell(scroll_x), g.shown_cells(width, scroll_x)
        versions = tuple(rows.versions[row] for row in members)
        key = (g, *members, versions, first, shown, rows.look, self.palette)
        strip = self._lines.get(key)
        if strip is None:
            segments = [self._gutter(g, members), *self._cells(g, members, first, shown), self._sum(members)]
            strip = self._lines[key] = Strip(segments, g.gutter + shown * g.cell + SUMS)
        return strip

    def dependence(self, g: Geometry, width: int, scroll_x: int) -> Strip:
        """Draw the column sums as bars relative to the largest."""
        first, shown = g.first_cell(scroll_x), g.shown_cells(width, scroll_x)
        sums, step = self.rows.dependence, g.columns_per_cell
        peak = max(map(abs, sums), default=0.0) or 1.0
        blocks = (max(map(abs, sums[cell * step : (cell + 1) * step])) / peak for cell in range(first, first + shown))
        gap = " " * (g.cell > 1)
        bars = "".join(_BARS[round(share * 8) or share > 0] * (g.cell - len(gap)) + gap for share in blocks)
        total = Segment(number(sum(sums), SUMS), _BOLD)
        return Strip([Segment(fit(self._of_all("dependence"), g.gutter - 1) + " ", _DIM), Segment(bars), total])

    def stripped(self, g: Geometry, width: int, scroll_x: int) -> Strip:
        """Draw the divergence of each response with all memories left out."""
        first, shown = g.first_cell(scroll_x), g.shown_cells(width, scroll_x)
        codes = _pooled([self.rows.stripped_codes()], g.columns_per_cell)
        known = self.rows.stripped_sum()
        total = "·".rjust(SUMS) if known is None else number(known, SUMS)
        return Strip(
            [
                Segment(fit("all left out", g.gutter - 1) + " ", _DIM),
                *self._runs(codes[first : first + shown], g.cell),
                Segment(total, _DIM if known is None else _BOLD),
            ]
        )

    def cursor(self, g: Geometry, row: int, column: int) -> Segment:
        """Draw the cell at a position of the displayed order as the cursor."""
        members = self._members(g, g.line_of(row))
        if g.zoom == "half":
            return Segment("▼" if row % g.rows_per_line else "▲", _CURSOR)
        if g.cell == 1:
            return Segment("+", _CURSOR)
        code = self._codes(g, members)[g.cell_of(column)]
        cell = self.palette.cells[code]
        return Segment("[" + self.palette.text(code, g.cell)[1:-1] + "]", cell.style + _BOLD)

    def _of_all(self, words: str) -> str:
        return f"{words}, all rows" if self.rows.filter else words

    def _members(self, g: Geometry, line: int) -> list[int]:
        return self.rows.order[line * g.rows_per_line : (line + 1) * g.rows_per_line]

    def _gutter(self, g: Geometry, members: list[int]) -> Segment:
        statuses = [self.rows.status(row) for row in members]
        status = next((s for s in ("running", "failed", "waiting") if s in statuses), "done")
        first = self.rows.grid.rows[members[0]]
        more = f" +{len(members) - 1}" if len(members) > 1 else ""
        name = fit(first.key, g.gutter - 4 - len(more)) + more
        return Segment(f"{_MARKS[status]}{first.section[0].upper()} {name} ", _KEY_STYLES[status])

    def _sum(self, members: list[int]) -> Segment:
        total = sum(self.rows.importance(row) for row in members)
        if total == 0 and all(self.rows.status(row) != "done" for row in members):
            return Segment("·".rjust(SUMS), _DIM)
        return Segment(number(total, SUMS))

    def _cells(self, g: Geometry, members: list[int], first: int, shown: int) -> list[Segment]:
        if g.zoom == "half":
            return self._halves(members, first, shown)
        return self._runs(self._codes(g, members)[first : first + shown], g.cell)

    def _codes(self, g: Geometry, members: list[int]) -> bytes:
        return _pooled([self.rows.codes(row) for row in members], g.columns_per_cell)

    def _halves(self, members: list[int], first: int, shown: int) -> list[Segment]:
        upper = self.rows.codes(members[0])[first : first + shown]
        lower = self.rows.codes(members[1])[first : first + shown] if len(members) > 1 else bytes([ABSENT]) * shown
        segments = []
        for pair, run in groupby(zip(upper, lower, strict=True)):
            glyph, style = self.palette.halves(*pair)
            segments.append(Segment(glyph * _length(run), style))
        return segments

    def _runs(self, codes: bytes, width: int) -> list[Segment]:
        cells, text = self.palette.cells, self.palette.text
        return [Segment(text(code, width) * _length(run), cells[code].style) for code, run in groupby(codes)]


def _length(run: Iterable[object]) -> int:
    return sum(1 for _ in run)


def _pooled(rows: list[bytes], columns: int) -> bytes:
    """Return one row of codes for a block of rows and columns, using the most important code of each block."""
    pooled = rows[0] if len(rows) == 1 else bytes(map(max, *rows))
    if columns == 1:
        return pooled
    padded = pooled + bytes([ABSENT]) * (-len(pooled) % columns)
    return bytes(map(max, *(padded[start::columns] for start in range(columns))))
