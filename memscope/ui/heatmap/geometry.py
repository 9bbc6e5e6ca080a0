"""Where things stand in the heatmap: pure arithmetic between screen cells and grid cells.

Words: a *line* is one line of the screen, a *row* a position in the shown order, a *column* a response's index.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["FOOTERS", "HEADERS", "SUMS", "Geometry", "Zoom", "lay_out", "next_zoom"]

Zoom: TypeAlias = Literal["cells", "half", "overview"]
_ZOOMS: tuple[Zoom, ...] = ("cells", "half", "overview")

HEADERS = 1
FOOTERS = 2
SUMS = 9
"""Cells of the column of row sums."""

_MARK = 3
_NARROWEST_GUTTER, _WIDEST_GUTTER = 12, 34
_WIDEST_CELL = 6


class Geometry(msgspec.Struct, frozen=True):
    """One layout.

    Attributes:
        gutter: Cells of the column of memory keys.
        cell: Width of a cell.
        rows_a_line: Rows that a line shows.
        columns_a_cell: Responses that a cell shows.
        lines: Lines that all rows take.
        across: Cells that all responses take.
    """

    zoom: Zoom
    gutter: int
    cell: int
    rows_a_line: int
    columns_a_cell: int
    lines: int
    across: int

    @property
    def width(self) -> int:
        """Width of everything, in cells."""
        return self.gutter + self.across * self.cell + SUMS

    @property
    def height(self) -> int:
        """Height of everything, in lines."""
        return HEADERS + self.lines + FOOTERS

    def first_cell(self, scroll_x: int) -> int:
        """Return the first cell that is shown; cells are never cut at the left."""
        return -(-scroll_x // self.cell)

    def shown_cells(self, width: int, scroll_x: int) -> int:
        """Return how many whole cells a view of this width shows."""
        return max(0, min(self.across - self.first_cell(scroll_x), (width - self.gutter - SUMS) // self.cell))

    def shown_lines(self, height: int) -> int:
        """Return how many lines of rows a view of this height shows."""
        return max(0, min(self.lines, height - HEADERS - FOOTERS))

    def line_of(self, row: int) -> int:
        """Return the line of a row."""
        return row // self.rows_a_line

    def cell_of(self, column: int) -> int:
        """Return the cell of a response."""
        return column // self.columns_a_cell


def lay_out(zoom: Zoom, width: int, height: int, rows: int, columns: int, longest_key: int) -> Geometry:
    """Return the layout for a view of `width` x `height` cells.

    Args:
        zoom: "cells" is one screen cell or more a grid cell, "half" two rows a line, "overview" everything at once.
        width: Of the view.
        height: Of the view.
        rows: Rows that are shown.
        columns: Responses.
        longest_key: Width of the longest memory key, in cells.
    """
    gutter = max(_NARROWEST_GUTTER, min(_WIDEST_GUTTER, longest_key + _MARK + 1, width // 3))
    room = max(1, width - gutter - SUMS)
    if zoom == "overview":
        fit_lines = max(1, height - HEADERS - FOOTERS)
        rows_a_line, columns_a_cell = max(1, -(-rows // fit_lines)), max(1, -(-columns // room))
        across = -(-columns // columns_a_cell)
        cell = max(1, min(_WIDEST_CELL, room // max(1, across)))
        return Geometry(zoom, gutter, cell, rows_a_line, columns_a_cell, -(-rows // rows_a_line), across)
    if zoom == "half":
        return Geometry(zoom, gutter, 1, 2, 1, -(-rows // 2), columns)
    # A gutter that gives way a little may let every response fit.
    if columns * 2 > room >= columns * 2 - (gutter - _NARROWEST_GUTTER) // 2:
        gutter -= columns * 2 - room
        room = columns * 2
    cell = max(2, min(_WIDEST_CELL, room // max(1, columns)))
    return Geometry(zoom, gutter, cell, 1, 1, rows, columns)


def next_zoom(zoom: Zoom, *, halves: bool) -> Zoom:
    """Return the zoom that follows in the cycle; half-blocks need colours."""
    following = _ZOOMS[(_ZOOMS.index(zoom) + 1) % len(_ZOOMS)]
    return "overview" if following == "half" and not halves else following
