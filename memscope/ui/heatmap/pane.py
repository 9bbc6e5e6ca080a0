"""The heatmap with its legend and filter."""

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
_MAX_FILTER_LENGTH = 200


class HeatmapPane(Vertical):
    """The heatmap pane: the map, its display options, and the filter input."""

    BINDINGS: ClassVar[list[BindingType]] = HEATMAP_PANE

    def __init__(self, grid: Grid, colours: Colours, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = HeatmapView(grid, colours, id="map")
        self.legend = Legend(self.view)
        self.field = Entry(placeholder=_FILTER_HINT, max_length=_MAX_FILTER_LENGTH, compact=True, id="filter")
        self._fitted = False
        self._fitted_by_hand = False

    def compose(self) -> ComposeResult:
        """Create the map, the filter (hidden at first) and the legend."""
        yield self.view
        yield self.field
        yield self.legend

    def on_mount(self) -> None:
        """Hide the filter."""
        self.field.display = False

    def focus_inside(self) -> None:
        """Focus the map."""
        self.view.focus()

    def copied(self) -> str:
        """Return the original text of the memory under the cursor."""
        layout, key = self.view.rows.grid.layout, self.view.key
        row = None if key is None else layout.row_index(key)
        return "" if row is None else f"{key}\n{layout.rows[row].text}\n"

    def filled(self) -> None:
        """Sort the rows after a matrix has finished, and fit the scale the first time."""
        if not self._fitted and self.view.rows.peak() > 0:
            self._fit()
        self.view.refresh_running_rows()
        self.view.order_by()

    def stripped_known(self) -> None:
        """Refit the scale to the all-left-out line, which may exceed it."""
        if self._fitted and not self._fitted_by_hand:
            self._fit()

    def action_sort(self) -> None:
        """Sort by the next criterion."""
        self.view.order_by(SORTS[(SORTS.index(self.view.rows.sort) + 1) % len(SORTS)])

    def action_filter(self) -> None:
        """Open the filter input."""
        self.field.display = True
        self.field.focus()

    def action_zoom(self) -> None:
        """Zoom."""
        self.view.next_zoom()

    def action_threads(self) -> None:
        """Show other threads."""
        if self.view.rows.shown.threads < 2:
            self.notify("all responses belong to one thread", timeout=4)
        else:
            self.view.next_threads()

    def action_scale(self) -> None:
        """Switch to the next scale mode."""
        scale = self.view.rows.scale
        self.view.rescale(scale.with_mode(next_mode(scale.mode)))

    def action_rescale(self) -> None:
        """Fit the scale to the current values; from then on only this key changes it."""
        self._fitted_by_hand = True
        self._fit()

    def _fit(self) -> None:
        self._fitted = True
        rows = self.view.rows
        self.view.rescale(replace(rows.scale, limit=nice_limit(rows.peak())))

    def action_signed(self) -> None:
        """Toggle the signed view."""
        self.show_signed(not self.view.rows.scale.signed)

    def show_signed(self, signed: bool) -> None:
        """Show negative divergences or clamp them to zero."""
        self.view.rescale(replace(self.view.rows.scale, signed=signed))

    def set_floor(self, nats: float) -> None:
        """Show values up to the noise floor as zero."""
        self.view.rescale(replace(self.view.rows.scale, floor=nats))

    def clear_filter(self) -> bool:
        """Clear and close the filter; return whether there was one."""
        if not self.field.display and not self.view.rows.filter:
            return False
        self.field.value = ""
        self.view.order_by(text="")
        self._hide_field()
        return True

    def on_input_changed(self) -> None:
        """Filter while typing, once per frame, so that of several keys in a frame only the last one costs anything."""
        self.call_after_refresh(self._filter)

    def on_input_submitted(self) -> None:
        """Keep the filter and focus the map."""
        self._hide_field()

    def _filter(self) -> None:
        if (text := self.field.value.strip()) != self.view.rows.filter:
            self.view.order_by(text=text)

    def on_heatmap_view_look_changed(self) -> None:
        """Update the legend."""
        self.legend.refresh()

    def _hide_field(self) -> None:
        self.field.display = False
        self.view.focus()
