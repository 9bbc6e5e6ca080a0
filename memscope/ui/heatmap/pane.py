"""The heatmap with its legend and its filter."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from memscope.scoring.grid import Grid
from memscope.ui.entry import Entry
from memscope.ui.heatmap.legend import Legend
from memscope.ui.heatmap.rows import SORTS
from memscope.ui.heatmap.view import HeatmapView
from memscope.ui.keys import HEATMAP_PANE
from memscope.ui.palette import Colours
from memscope.ui.scale import next_mode, nice_limit

__all__ = ["HeatmapPane"]

_FILTER_HINT = "show memories whose key or text contains …"
_LONGEST_FILTER = 200


class HeatmapPane(Vertical):
    """The keys that change how the heatmap looks, and the line where a filter is typed."""

    BINDINGS: ClassVar[list[BindingType]] = HEATMAP_PANE

    def __init__(self, grid: Grid, colours: Colours, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = HeatmapView(grid, colours, id="map")
        self.legend = Legend(self.view)
        self.field = Entry(placeholder=_FILTER_HINT, max_length=_LONGEST_FILTER, compact=True, id="filter")
        self._fitted = False
        self._fitted_by_hand = False

    def compose(self) -> ComposeResult:
        """The map, the filter (hidden until it is wanted), the legend."""
        yield self.view
        yield self.field
        yield self.legend

    def on_mount(self) -> None:
        """Hide the filter."""
        self.field.display = False

    def focus_inside(self) -> None:
        """Give the keyboard to the map."""
        self.view.focus()

    def copied(self) -> str:
        """Return the memory under the cursor as it is in the session."""
        layout, key = self.view.rows.grid.layout, self.view.key
        row = None if key is None else layout.row_index(key)
        return "" if row is None else f"{key}\n{layout.rows[row].text}\n"

    def filled(self) -> None:
        """Take note that filling has ended: rows find their places, and the scale is fitted the first time."""
        if not self._fitted and self.view.rows.peak() > 0:
            self._fit()
        self.view.nothing_runs()
        self.view.order_by()

    def stripped_known(self) -> None:
        """Take note of the line of all memories left out: it may be above what the scale was fitted to."""
        if self._fitted and not self._fitted_by_hand:
            self._fit()

    def action_sort(self) -> None:
        """Sort by the next criterion."""
        self.view.order_by(SORTS[(SORTS.index(self.view.rows.sort) + 1) % len(SORTS)])

    def action_filter(self) -> None:
        """Ask what to look for."""
        self.field.display = True
        self.field.focus()

    def action_zoom(self) -> None:
        """Zoom."""
        self.view.next_zoom()

    def action_scale(self) -> None:
        """Use the next kind of scale."""
        scale = self.view.rows.scale
        self.view.rescale(scale.with_mode(next_mode(scale.mode)))

    def action_rescale(self) -> None:
        """Fit the scale to what is there now; from then on only this key changes it."""
        self._fitted_by_hand = True
        self._fit()

    def _fit(self) -> None:
        self._fitted = True
        rows = self.view.rows
        self.view.rescale(replace(rows.scale, limit=nice_limit(rows.peak())))

    def action_signed(self) -> None:
        """Show or clamp negative divergences."""
        self.show_signed(not self.view.rows.scale.signed)

    def show_signed(self, signed: bool) -> None:
        """Show negative divergences, or clamp them."""
        self.view.rescale(replace(self.view.rows.scale, signed=signed))

    def set_floor(self, nats: float) -> None:
        """Show as zero what cannot be told from zero."""
        self.view.rescale(replace(self.view.rows.scale, floor=nats))

    def leave_filter(self) -> bool:
        """Close the filter and forget it; tell whether there was one."""
        if not self.field.display and not self.view.rows.filter:
            return False
        self.field.value = ""
        self.view.order_by(text="")
        self._hide_field()
        return True

    def on_input_changed(self) -> None:
        """Filter while typing; after the next frame, so that of many keys in one the last alone costs anything."""
        self.call_after_refresh(self._filter)

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the map."""
        self._hide_field()

    def _filter(self) -> None:
        if (text := self.field.value.strip()) != self.view.rows.filter:
            self.view.order_by(text=text)

    def on_heatmap_view_look_changed(self) -> None:
        """Keep the legend true."""
        self.legend.refresh()

    def _hide_field(self) -> None:
        self.field.display = False
        self.view.focus()
