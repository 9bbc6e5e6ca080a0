"""The heatmap widget: a scroll view that draws its own lines.

The header, the keys, the row sums and the two footer lines stay in place while the cells scroll. Moving the cursor
repaints two cells; a finished row repaints its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.scoring.grid import Grid
from memscope.terminal.safe import cells, one_line, shorten
from memscope.ui.heatmap.geometry import FOOTERS, HEADERS, SUMS, Geometry, Zoom, compute_layout, next_zoom
from memscope.ui.heatmap.painter import Painter
from memscope.ui.heatmap.rows import GridRows, Sort
from memscope.ui.keys import HEATMAP
from memscope.ui.palette import Colours, make_palette
from memscope.ui.scale import Scale

__all__ = ["HeatmapView"]


class HeatmapView(ScrollView, can_focus=True):
    """Memories down, responses across.

    Attributes:
        rows: The displayed rows of the grid.
        row: Position of the cursor in the displayed order.
        column: Position of the cursor among the shown responses.
        key: The memory under the cursor; None if no row is shown. The cursor follows it when rows are reordered.
        response: The id of the response under the cursor; None if there is none.
        stays_on_newest: Whether the cursor moves to every new response, until the user moves it away.
        waiting_for: What the session lacks before there is a map, line by line, shown in its place.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = HEATMAP

    class CursorMoved(Message):
        """The cursor moved to another cell, or its cell changed."""

    class Opened(Message):
        """The user opened the cell under the cursor."""

    class LookChanged(Message):
        """The scale, sort order, filter, zoom or view changed."""

    def __init__(self, grid: Grid, colours: Colours, scale: Scale | None = None, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.rows = GridRows(grid, scale)
        self.row = self.column = 0
        self.key: str | None = None
        self.response: str | None = None
        self.stays_on_newest = False
        self.waiting_for: Sequence[str] = ()
        self.zoom: Zoom = "cells"
        self.colours: Colours = colours
        self._painter = Painter(self.rows, make_palette(colours, signed=False, dark=True))
        self._laid_out: tuple[object, Geometry] | None = None
        self._longest_key = 0
        self._in_progress: set[int] = set()
        self._measure_keys()

    @property
    def geometry(self) -> Geometry:
        """The layout for the current size of the view; a paint may precede the resize event."""
        width, height = self.size
        rows = len(self.rows.order)
        needs = (self.zoom, width, height, rows, self.rows.columns, self._longest_key)
        if self._laid_out is None or self._laid_out[0] != needs:
            g = compute_layout(self.zoom, width, height, rows, self.rows.columns, self._longest_key)
            if g.height > height:  # the scroll bar will take a column
                g = compute_layout(self.zoom, width - 1, height, rows, self.rows.columns, self._longest_key)
            self._laid_out = needs, g
        return self._laid_out[1]

    @property
    def memory(self) -> int | None:
        """The grid row under the cursor; None if no row is shown."""
        return self.rows.order[self.row] if self.row < len(self.rows.order) else None

    def show_grid(self, grid: Grid) -> None:
        """Show another grid, or the same grid with another shape; the cursor stays on its cell."""
        rows = GridRows(grid, self.rows.scale, self.rows.shown.choice)
        rows.arrange(self.rows.sort, self.rows.filter)
        self.rows = rows
        self._return_to(self.key, self.response)
        self._in_progress = set()
        self._measure_keys()
        self._restyle()
        self._relayout()

    def rows_changed(self, changed: set[int]) -> None:
        """Repaint rows that were started, finished, failed or reset."""
        places = {row: place for place, row in enumerate(self.rows.order)}
        self._in_progress = {row for row in self._in_progress | changed if self.rows.status(row) == "running"}
        for row in changed:
            self.rows.changed(row)
            if row in places:
                self._refresh_line(self.geometry.line_of(places[row]))
        self.footers_changed()
        self.post_message(self.LookChanged())
        if self.memory in changed:
            self.post_message(self.CursorMoved())

    def refresh_running_rows(self) -> None:
        """Repaint the rows that were being scored, since the end of a matrix has no event per row."""
        self.rows_changed(self._in_progress)

    def footers_changed(self) -> None:
        """Repaint the column sums and the all-left-out line."""
        shown = self.geometry.shown_lines(self._view.height)
        self.refresh(Region(0, HEADERS + shown, self._view.width, FOOTERS))

    def rescale(self, scale: Scale) -> None:
        """Use another scale."""
        self.rows.rescale(scale)
        self._restyle()

    def order_by(self, sort: Sort | None = None, text: str | None = None) -> None:
        """Sort or filter the rows; the cursor stays on its memory if that is still shown."""
        self.rows.arrange(sort, text)
        self._return_to(self.key, self.response)
        self._relayout()

    def next_threads(self) -> None:
        """Show other threads: without side calls, everything, the thread under the cursor."""
        shown = self.rows.shown
        thread = shown.thread(self.column) if self.column < len(shown) else None
        self.rows.show_threads(shown.next_choice(thread))
        self._return_to(self.key, self.response)
        self._restyle()
        self._relayout()

    def next_zoom(self) -> None:
        """Switch to the next zoom."""
        self.zoom = next_zoom(self.zoom, halves=self.colours == "full")
        self._relayout()

    def go_to(self, row: int, column: int) -> None:
        """Move the cursor to a position of the displayed order and a response, both clamped."""
        old = self._cursor_region()
        self.row = max(0, min(row, len(self.rows.order) - 1))
        self.column = max(0, min(column, self.rows.columns - 1))
        self._remember_cell()
        if not self._scroll_to_cursor():
            self.refresh(old)
            self.refresh(self._cursor_region())
        self.post_message(self.CursorMoved())

    def _remember_cell(self) -> None:
        layout, row = self.rows.grid.layout, self.memory
        self.key = None if row is None else layout.keys[row]
        shown = self.rows.shown.positions
        self.response = layout.responses[shown[self.column]] if self.column < len(shown) else None

    def _return_to(self, key: str | None, response: str | None) -> None:
        layout, order = self.rows.grid.layout, self.rows.order
        row = None if key is None else layout.row_index(key)
        column = None if response is None else layout.column_index(response)
        self.row = order.index(row) if row in order else 0
        self.column = self.column if column is None else self.rows.shown.place_of(column)
        if self.stays_on_newest:
            self.column = self.rows.columns - 1

    def action_move(self, down: int, right: int) -> None:
        """Move the cursor by displayed lines and cells."""
        row = self.row + down * (1 if self.zoom == "half" else self.geometry.rows_per_line)
        self._step_to(row, self.column + right * self.geometry.columns_per_cell)

    def action_newest(self) -> None:
        """Go to the newest response and stay on the newest, like `tail -f`; again stops that."""
        self.stays_on_newest = not self.stays_on_newest
        if self.stays_on_newest:
            self.go_to(self.row, self.rows.columns - 1)
        self.post_message(self.LookChanged())

    def _step_to(self, row: int, column: int) -> None:
        """Move the cursor as the user asks, and no longer stay on the newest response if it leaves that."""
        self.go_to(row, column)
        self.stays_on_newest = self.stays_on_newest and self.column == self.rows.columns - 1

    def action_page(self, pages: int) -> None:
        """Move the cursor by a page of rows."""
        shown = max(1, self.geometry.shown_lines(self._view.height))
        self.go_to(self.row + pages * shown * self.geometry.rows_per_line, self.column)

    def action_edge(self, edge: str) -> None:
        """Move the cursor to the first or last response, or the first or last row."""
        row, column = self.row, self.column
        last_row, last_column = len(self.rows.order) - 1, self.rows.columns - 1
        targets = {"left": (row, 0), "right": (row, last_column), "top": (0, column), "bottom": (last_row, column)}
        self._step_to(*targets[edge])

    def action_open(self) -> None:
        """Open the cell under the cursor."""
        self.post_message(self.Opened())

    def render_line(self, y: int) -> Strip:
        """Draw one line of the view."""
        width, height = self._view
        scroll, g = self.scroll_offset, self.geometry
        shown = g.shown_lines(height)
        if y == 0:
            strip = self._painter.header(g, width, scroll.x)
        elif y <= shown:
            strip = self._row_line(scroll.y + y - HEADERS, width, scroll.x)
        elif self.waiting_for:
            strip = self._waiting_line(y - shown - HEADERS, width)
        elif y == shown + 1:
            strip = self._painter.dependence(g, width, scroll.x)
        elif y == shown + 2:
            strip = self._painter.stripped(g, width, scroll.x)
        else:
            strip = Strip.blank(width)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def _waiting_line(self, line: int, width: int) -> Strip:
        lines = self.waiting_for
        return Strip([Segment(shorten(lines[line - 1], width))]) if 0 < line <= len(lines) else Strip.blank(width)

    def _row_line(self, line: int, width: int, scroll_x: int) -> Strip:
        g = self.geometry
        if not 0 <= line < g.lines:
            return Strip.blank(width)
        strip = self._painter.line(g, line, width, scroll_x)
        if line != g.line_of(self.row) or not self._cursor_region():
            return strip
        x = self._cursor_region().x
        cursor = Strip([self._painter.cursor(g, self.row, self.column)], g.cell)
        return Strip.join([strip.crop(0, x), cursor, strip.crop(x + g.cell)])

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._restyle())
        self._restyle()

    def on_resize(self) -> None:
        """Update the layout."""
        self._relayout()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked cell; a second click opens it."""
        place = self._place_at(event.x, event.y)
        if place is None:
            return
        again = place == (self.row, self.column)
        self._step_to(*place)
        if again or event.chain > 1:
            self.action_open()

    def _place_at(self, x: int, y: int) -> tuple[int, int] | None:
        g, scroll = self.geometry, self.scroll_offset
        cell = (x - g.gutter) // g.cell
        on_line = HEADERS <= y <= g.shown_lines(self._view.height)
        if not on_line or not 0 <= cell < g.shown_cells(self._view.width, scroll.x):
            return None
        row = (scroll.y + y - HEADERS) * g.rows_per_line
        return row, (g.first_cell(scroll.x) + cell) * g.columns_per_cell

    @property
    def _view(self) -> Size:
        return self.scrollable_content_region.size

    def _measure_keys(self) -> None:
        self._longest_key = max((cells(one_line(row.key)) for row in self.rows.grid.rows), default=0)

    def _restyle(self) -> None:
        palette = make_palette(self.colours, signed=self.rows.scale.signed, dark=self.app.current_theme.dark)
        self._painter = Painter(self.rows, palette)
        self.refresh()
        self.post_message(self.LookChanged())

    def _relayout(self) -> None:
        self.virtual_size = Size(self.geometry.width, self.geometry.height)
        self.go_to(self.row, self.column)
        self.refresh()
        self.post_message(self.LookChanged())

    def _refresh_line(self, line: int) -> None:
        y = line - self.scroll_offset.y
        if 0 <= y < self.geometry.shown_lines(self._view.height):
            self.refresh(Region(0, HEADERS + y, self._view.width, 1))

    def _cursor_region(self) -> Region:
        """Return the region of the cursor in the view; empty if it is scrolled away."""
        g, scroll = self.geometry, self.scroll_offset
        x = g.cell_of(self.column) - g.first_cell(scroll.x)
        y = g.line_of(self.row) - scroll.y
        if 0 <= x < g.shown_cells(self._view.width, scroll.x) and 0 <= y < g.shown_lines(self._view.height):
            return Region(g.gutter + x * g.cell, HEADERS + y, g.cell, 1)
        return Region()

    def _scroll_to_cursor(self) -> bool:
        """Scroll as little as needed to show the cursor; return whether the view scrolled."""
        g, (width, height), before = self.geometry, self._view, self.scroll_offset
        cell, line = g.cell_of(self.column), g.line_of(self.row)
        across = max(1, (width - g.gutter - SUMS) // g.cell)
        first = g.first_cell(before.x)
        x = before.x if first <= cell < first + across else (cell if cell < first else cell - across + 1) * g.cell
        shown = max(1, g.shown_lines(height))
        y = before.y if before.y <= line < before.y + shown else (line if line < before.y else line - shown + 1)
        if (x, y) == before:
            return False
        self.scroll_to(x, y, animate=False, immediate=True)
        return True
