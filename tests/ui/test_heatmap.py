"""The heatmap: cursor, sort, filter, zoom, and what is repainted."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from memscope.scoring.grid import Grid
from memscope.ui.heatmap.geometry import Zoom, compute_layout
from memscope.ui.heatmap.pane import HeatmapPane
from memscope.ui.heatmap.rows import GridRows
from memscope.ui.heatmap.view import HeatmapView
from memscope.ui.palette import Colours
from memscope.ui.scale import UNSCORED, ZERO, Scale
from tests.scoring.grids import set_row
from tests.ui.conftest import make_grid

pytestmark = pytest.mark.anyio


class Alone(App[None]):
    """Nothing but a heatmap."""

    CSS = "HeatmapPane, HeatmapView { height: 1fr; } HeatmapView { scrollbar-size: 1 1; }"

    def __init__(self, grid: Grid, colours: Colours = "full") -> None:
        super().__init__()
        self.pane = HeatmapPane(grid, colours)

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus_inside()

    @property
    def view(self) -> HeatmapView:
        return self.pane.view

    def lines(self) -> list[str]:
        return [self.view.render_line(y).text for y in range(self.view.size.height)]


def diagonal(i: int, j: int) -> float:
    return float(i + 1) if i == j else 0.0


async def test_the_cursor_stays_on_the_grid_and_in_view() -> None:
    app = Alone(make_grid(100, 200, diagonal))
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in (["up"], ["pagedown"], ["end"], ["ctrl+end"], ["j", "l"], ["pageup"], ["home"]):
            await pilot.press(*keys)
            assert app.view._cursor_region(), keys
        await pilot.press("ctrl+end", "end")
        assert (app.view.row, app.view.column) == (99, 199)
        await pilot.press("ctrl+home", "home")
        assert (app.view.row, app.view.column) == (0, 0)


async def test_moving_the_cursor_repaints_two_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Alone(make_grid(40, 40, diagonal))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        painted: list[Region] = []
        refresh = HeatmapView.refresh

        def spy(view: HeatmapView, *regions: Region, **options: Any) -> HeatmapView:
            painted.extend(regions or [view.region])
            return refresh(view, *regions, **options)

        monkeypatch.setattr(HeatmapView, "refresh", spy)
        await pilot.press("right")
        assert [(region.width, region.height) for region in painted] == [(app.view.geometry.cell, 1)] * 2


async def test_a_finished_row_repaints_its_line_and_the_sums() -> None:
    grid = make_grid(5, 4)
    app = Alone(grid)
    async with app.run_test(size=(80, 24)) as pilot:
        before = app.lines()
        set_row(grid, "key/002", [1.0, 2.0, 0.0, 5.0])
        app.view.rows_changed({2})
        await pilot.pause()
        after = app.lines()
        assert [y for y in range(len(after)) if before[y] != after[y]] == [3, 6]
        assert after[3].rstrip().endswith("8.00")
        assert after[6].rstrip().endswith("8.00")


async def test_sorting_keeps_the_cursor_on_its_memory() -> None:
    app = Alone(make_grid(6, 6, diagonal))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "s")
        assert app.view.rows.sort == "importance"
        assert app.view.rows.order == [5, 4, 3, 2, 1, 0]
        assert app.view.memory == 1


async def test_filtering_shows_what_matches_and_escapes_nothing_to_the_keys() -> None:
    app = Alone(make_grid(30, 6, diagonal))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"key/01", "s", "backspace")
        assert app.view.rows.order == list(range(10, 20))
        assert app.view.rows.sort == "appearance"
        await pilot.press("enter")
        assert app.focused is app.view
        await pilot.press("slash", "q")
        assert app.view.rows.order == []
        assert app.view.memory is None
        await pilot.press("enter", "down", "right", "s", "z")
        assert app.pane.clear_filter()
        assert len(app.view.rows.order) == 30


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (200, 20)])
@pytest.mark.parametrize("zoom", ["cells", "half", "overview"])
async def test_every_line_is_as_wide_as_the_view_at_any_zoom_and_size(zoom: Zoom, size: tuple[int, int]) -> None:
    app = Alone(make_grid(70, 90, diagonal))
    async with app.run_test(size=size) as pilot:
        while app.view.zoom != zoom:
            await pilot.press("z")
        await pilot.press("ctrl+end", "end")
        view = app.view
        for y in range(view.size.height):
            assert view.render_line(y).cell_length == view.scrollable_content_region.width
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert view.geometry.height <= 30 or zoom != "overview"
        assert view._cursor_region()


async def test_the_overview_never_loses_a_rare_strong_memory() -> None:
    grid = make_grid(300, 600, lambda i, j: 50.0 if (i, j) == (217, 431) else 0.0)
    app = Alone(grid, "none")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", "z")
        await pilot.pause()
        assert app.view.zoom == "overview"
        cells = "".join(line[app.view.geometry.gutter : -10] for line in app.lines()[1 : app.view.geometry.lines + 1])
        assert cells.count("█") == 1


async def test_the_scale_stays_while_filling_and_is_fitted_by_a_key() -> None:
    grid = make_grid(3, 3)
    app = Alone(grid)
    async with app.run_test(size=(80, 24)) as pilot:
        set_row(grid, "key/000", [70.0, 0.0, 0.0])
        app.view.rows_changed({0})
        await pilot.pause()
        assert app.view.rows.scale.limit == 10
        await pilot.press("f")
        assert app.view.rows.scale.limit == 100


async def test_a_click_puts_the_cursor_and_a_second_one_opens() -> None:
    app = Alone(make_grid(10, 10, diagonal))
    async with app.run_test(size=(80, 24)) as pilot:
        g = app.view.geometry
        await pilot.click(app.view, offset=(g.gutter + 3 * g.cell, 1 + 4))
        assert (app.view.row, app.view.column) == (4, 3)
        await pilot.click(app.view, offset=(0, 0))
        assert (app.view.row, app.view.column) == (4, 3)
        assert not app.view.ALLOW_SELECT


async def test_failed_waiting_and_zero_rows_read_differently_without_colour() -> None:
    grid = make_grid(3, 4)
    set_row(grid, "key/000", [0.0] * 4)
    grid.stop_row("key/001", "boom")
    app = Alone(grid, "none")
    async with app.run_test(size=(80, 24)):
        g = app.view.geometry
        zero, failed, waiting = (line[g.gutter : g.gutter + g.across * g.cell].strip() for line in app.lines()[1:4])
        assert zero.strip("[] ") == ""
        assert set(failed) == {"×"}
        assert ":" in waiting


def test_column_sums_follow_rows_that_are_scored_twice() -> None:
    grid = make_grid(2, 2)
    rows = GridRows(grid)
    for values in ([1.0, nan], [4.0, -2.0], [3.0, 5.0]):
        set_row(grid, "key/000", values)
        rows.changed(0)
    assert list(rows.dependence) == [3.0, 5.0]
    assert list(rows.codes(1)) == [UNSCORED] * 2


def test_the_signed_peak_looks_at_each_row_once() -> None:
    grid = make_grid(3, 3, lambda i, j: -9.0 if (i, j) == (1, 1) else 2.0)
    rows = GridRows(grid, Scale(signed=True))
    assert rows.peak() == 9.0
    kept, grid.values = grid.values, []
    assert rows.peak() == 9.0
    grid.values = kept
    set_row(grid, "key/001", [1.0, -3.0, 12.0])
    rows.changed(1)
    assert rows.peak() == 12.0
    rows.rescale(Scale(signed=False))
    set_row(grid, "key/001", [1.0, -30.0, 1.0])
    rows.changed(1)
    assert rows.peak() == 2.0


def test_values_at_the_noise_floor_are_zero() -> None:
    rows = GridRows(make_grid(1, 1, lambda i, j: 1e-5))
    assert list(rows.codes(0)) == [ZERO]


@pytest.mark.parametrize("zoom", ["cells", "half", "overview"])
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1000, 2000)])
def test_layouts_have_room_for_everything_they_show(zoom: Zoom, shape: tuple[int, int]) -> None:
    g = compute_layout(zoom, 80, 20, *shape, longest_key=50)
    assert g.gutter + g.shown_cells(80, 0) * g.cell <= 80
    assert g.lines * g.rows_per_line >= shape[0]
    assert g.across * g.columns_per_cell >= shape[1]
