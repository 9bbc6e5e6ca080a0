"""The layout of the heatmap: arithmetic between screen cells and grid cells.

A *line* is a line of the screen, a *row* a position in the displayed order, a *column* the index of a response.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["FOOTERS", "HEADERS", "SUMS", "Geometry", "Zoom", "compute_layout", "next_zoom"]

Zoom: TypeAlias = Literal["cells", "half", "overview"]
_ZOOMS: tuple[Zoom, ...] = ("cells", "half", "overview")

HEADERS = 1
FOOTERS = 2
SUMS = 9
"""Width of the column of row sums, in cells."""

_MARK = 3
_NARROWEST_GUTTER, _WIDEST_GUTTER = 12, 34
_WIDEST_CELL = 6


class Geometry(msgspec.Struct, frozen=True):
    """One layout.

    Attributes:
        gutter: Width of the column of memory keys, in cells.
        cell: Width of a grid cell, in screen cells.
        rows_per_line: Number of rows shown per line.
        columns_per_cell: Number of responses shown per cell.
        lines: Number of lines of all rows.
        across: Number of grid cells across.
    """

    zoom: Zoom
    gutter: int
    cell: int
    rows_per_line: int
    columns_per_cell: int
    lines: int
    across: int

    @property
    def width(self) -> int:
        """Total width in screen cells."""
        return self.gutter + self.across * self.cell + SUMS

    @property
    def height(self) -> int:
        """Total height in lines."""
        return HEADERS + self.lines + FOOTERS

    def first_cell(self, scroll_x: int) -> int:
        """Return the first visible cell; cells are never cut at the left."""
        return -(-scroll_x // self.cell)

    def shown_cells(self, width: int, scroll_x: int) -> int:
        """Return how many whole cells fit into a view of this width."""
        return max(0, min(self.across - self.first_cell(scroll_x), (width - self.gutter - SUMS) // self.cell))

    def shown_lines(self, height: int) -> int:
        """Return how many lines of rows fit into a view of this height."""
        return max(0, min(self.lines, height - HEADERS - FOOTERS))

    def line_of(self, row: int) -> int:
        """Return the line of a row."""
        return row // self.rows_per_line

    def cell_of(self, column: int) -> int:
        """Return the cell of a response."""
        return column // self.columns_per_cell


def compute_layout(zoom: Zoom, width: int, height: int, rows: int, columns: int, longest_key: int) -> Geometry:
    """Return the layout for a view of `width` x `height` cells.

    Args:
        zoom: "cells" shows one row per line, "half" two rows per line, "overview" the whole grid.
        width: Width of the view.
        height: Height of the view.
        rows: Number of displayed rows.
        columns: Number of responses.
        longest_key: Width of the longest memory key, in cells.
    """
    gutter = max(_NARROWEST_GUTTER, min(_WIDEST_GUTTER, longest_key + _MARK + 1, width // 3))
    room = max(1, width - gutter - SUMS)
    if zoom == "overview":
        fit_lines = max(1, height - HEADERS - FOOTERS)
        rows_per_line, columns_per_cell = max(1, -(-rows // fit_lines)), max(1, -(-columns // room))
        across = -(-columns // columns_per_cell)
        cell = max(1, min(_WIDEST_CELL, room // max(1, across)))
        return Geometry(zoom, gutter, cell, rows_per_line, columns_per_cell, -(-rows // rows_per_line), across)
    if zoom == "half":
        return Geometry(zoom, gutter, 1, 2, 1, -(-rows // 2), columns)
    # A slightly narrower gutter may let every response fit.
    if columns * 2 > room >= columns * 2 - (gutter - _NARROWEST_GUTTER) // 2:
        gutter -= columns * 2 - room
        room = columns * 2
    cell = max(2, min(_WIDEST_CELL, room // max(1, columns)))
    return Geometry(zoom, gutter, cell, 1, 1, rows, columns)


def next_zoom(zoom: Zoom, *, halves: bool) -> Zoom:
    """Return the next zoom in the cycle; half blocks require colours."""
    following = _ZOOMS[(_ZOOMS.index(zoom) + 1) % len(_ZOOMS)]
    return "overview" if following == "half" and not halves else following
