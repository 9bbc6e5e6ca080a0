"""Every binding of every pane: its keys, pressed in the real app, have its effect.

`EFFECTS` has one row for each binding id: how the screen is prepared, and what must be so once the key was pressed. A
binding without a row fails `test_every_binding_has_a_row`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from memscope.run.run import Run
from memscope.scoring.delta import Changes
from memscope.scoring.events import ScorerLost
from memscope.scoring.finetune import Candidate, Findings
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Layout
from memscope.scoring.tokens import CellTokens
from memscope.ui.app import MemscopeApp
from memscope.ui.candidates.pane import CandidatesState
from memscope.ui.candidates.review import ReviewScreen
from memscope.ui.dialogs import Ask, Choose
from memscope.ui.heatmap.view import HeatmapView
from memscope.ui.help import Help
from memscope.ui.keys import bindings_by_id
from memscope.ui.scale import Scale

from .conftest import Screens, drawn, eventually, fill, find_candidates, make_grid, shown
from .test_modal import a_review

pytestmark = pytest.mark.anyio


class Case:
    """One binding on one screen; `press` presses one of its keys."""

    def __init__(self, app: MemscopeApp, pilot: Pilot[int], run: Run, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.app, self.pilot, self.run, self.folder, self.patch = app, pilot, run, folder, patch
        self.key = ""
        self.calls: list[str] = []

    async def press(self) -> None:
        await self.pilot.press(self.key)
        await self.pilot.pause()

    async def open(self, pane: str) -> None:
        self.app.open_pane(pane)
        await self.pilot.pause()

    async def shows(self, screen: type[ModalScreen[Any]]) -> None:
        """The key opened a question; close it again."""
        assert isinstance(self.app.screen, screen)
        await self.pilot.press("escape")
        await self.pilot.pause()
        assert len(self.app.screen_stack) == 1

    @property
    def view(self) -> HeatmapView:
        return self.app._heatmap.view

    @property
    def pane(self) -> str:
        return self.app._workspace.current

    async def large_map(self, row: int, column: int) -> None:
        """Show a map larger than the screen, the cursor in its middle."""
        await self.open("heatmap")
        self.view.show_grid(make_grid(90, 90, lambda i, j: float(i == j)))
        await self.pilot.pause()
        self.view.go_to(row, column)
        await self.pilot.pause()

    def records(self, owner: object, name: str, result: object = None) -> None:
        """Let a coroutine of the run do nothing but be noted."""

        async def noted(*_: object, **__: object) -> object:
            self.calls.append(name)
            return result

        self.patch.setattr(owner, name, noted)

    async def listed(self, count: int = 40) -> None:
        """Show a list of candidates that is longer than its pane, as if the weights in use had been asked."""
        self.app.candidates.pane.show(candidates_state(count))
        await self.open("candidates")

    async def found(self) -> None:
        """Let the five responses of the session be candidates of the weights in use; no scorer is asked."""
        self.records(find_candidates(self.app), "alternate")
        await self.open("candidates")


def candidates_state(count: int) -> CandidatesState:
    listed = tuple(Candidate(f"r{n}", n, n, 100.0 - n, "2026-11-20T10:00:00Z", f"text {n}") for n in range(count))
    return CandidatesState(Findings(listed, count, 100.0, 1.0, 0, 0))


Effect: TypeAlias = Callable[[Case], Awaitable[None]]
EFFECTS: dict[str, Effect] = {}


def effect(*names: str) -> Callable[[Effect], Effect]:
    """Make a row of the table."""

    def add(row: Effect) -> Effect:
        for name in names:
            EFFECTS[name] = row
        return row

    return add


# The heatmap.


def moves(name: str, down: int, right: int) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.large_map(40, 40)
        await case.press()
        assert (case.view.row, case.view.column) == (40 + down, 40 + right)


moves("cursor.up", -1, 0)
moves("cursor.down", 1, 0)
moves("cursor.left", 0, -1)
moves("cursor.right", 0, 1)


def pages(name: str, direction: int) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.large_map(40, 40)
        page = case.view.geometry.shown_lines(case.view.scrollable_content_region.height)
        await case.press()
        assert page > 5
        assert (case.view.row, case.view.column) == (40 + direction * page, 40)


pages("cursor.page_up", -1)
pages("cursor.page_down", 1)


def goes_to(name: str, row: int, column: int) -> None:
    @effect(name)
    async def check(case: Case) -> None:
        await case.large_map(40, 41)
        await case.press()
        assert (case.view.row, case.view.column) == (row, column)


goes_to("cursor.first", 40, 0)
goes_to("cursor.last", 40, 89)
goes_to("cursor.top", 0, 41)
goes_to("cursor.bottom", 89, 41)


@effect("open")
async def _open(case: Case) -> None:
    case.records(case.run, "tokens", CellTokens(("a",), (-1.0,), (-2.0,)))
    await case.open("heatmap")
    await case.press()
    assert case.pane == "detail"
    assert case.calls == ["tokens"]


@effect("newest")
async def _newest(case: Case) -> None:
    await case.large_map(40, 40)
    await case.press()
    assert (case.view.row, case.view.column) == (40, 89)
    case.view.show_grid(make_grid(90, 91, lambda i, j: float(i == j)))
    assert (case.view.row, case.view.column) == (40, 90), "it stays on the newest response"
    await case.press()
    case.view.show_grid(make_grid(90, 92, lambda i, j: float(i == j)))
    assert (case.view.row, case.view.column) == (40, 90)


@effect("sort")
async def _sort(case: Case) -> None:
    case.view.show_grid(make_grid(5, 5, lambda i, j: float(i)))
    orders = []
    for _ in range(4):
        await case.press()
        orders.append((case.view.rows.sort, case.view.rows.order))
    down, up = [4, 3, 2, 1, 0], [0, 1, 2, 3, 4]
    assert orders == [("importance", down), ("maximum", down), ("key", up), ("appearance", up)]


@effect("filter")
async def _filter(case: Case) -> None:
    await case.press()
    assert case.app.focused is case.app._heatmap.field
    await case.pilot.press(*"tom")
    await case.pilot.pause()
    assert len(case.view.rows.order) == 1


@effect("zoom")
async def _zoom(case: Case) -> None:
    zooms = []
    for _ in range(3):
        await case.press()
        zooms.append(case.view.zoom)
    assert zooms == ["half", "overview", "cells"]


@effect("scale")
async def _scale(case: Case) -> None:
    modes = []
    for _ in range(3):
        await case.press()
        modes.append(case.view.rows.scale.mode)
    assert modes == ["linear", "rank", "symlog"]
    assert "symlog" in "\n".join(shown(case.app))


@effect("rescale")
async def _rescale(case: Case) -> None:
    case.view.show_grid(make_grid(3, 3, lambda i, j: 70.0))
    case.view.rescale(Scale(limit=10.0))
    await case.press()
    assert case.view.rows.scale.limit == 100.0


@effect("signed")
async def _signed(case: Case) -> None:
    await case.press()
    assert case.view.rows.scale.signed
    await case.press()
    assert not case.view.rows.scale.signed


@effect("threads")
async def _threads(case: Case) -> None:
    grid = make_grid(2, 4, lambda i, j: 1.0)
    columns = [msgspec.structs.replace(c, thread=c.index % 2, side=c.index % 2 == 1) for c in grid.columns]
    case.view.show_grid(Grid(Layout(grid.rows, columns), grid.table))
    shown = [list(case.view.rows.shown.positions)]
    for _ in range(3):
        await case.press()
        shown.append(list(case.view.rows.shown.positions))
    assert shown == [[0, 2], [0, 1, 2, 3], [0, 2], [0, 2]]


# Panes of text.


def scrolls(name: str, pane: str, by: int) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.open(pane)
        lines = "\n".join(map(str, range(300)))
        if pane == "diff":
            case.app.candidates.diff.show(Candidate("r", 0, 0, 1.0, "t", lines), "", None, "", "")
        else:
            case.app.query_one(f"#{pane}").query_one(Static).update(lines)
        await case.pilot.pause()
        widget: Widget = case.app.query_one(f"#{pane}")
        await eventually(case.pilot, lambda: widget.max_scroll_y > 200)
        widget.scroll_to(y=100, animate=False, immediate=True)
        await eventually(case.pilot, lambda: widget.scroll_target_y == 100)
        await case.press()
        await eventually(case.pilot, lambda: widget.scroll_target_y == 100 + by)


for _pane in ("detail", "log", "diff"):
    scrolls(f"{_pane}.up", _pane, -1)
    scrolls(f"{_pane}.down", _pane, 1)


# Candidates.


def steps(name: str, start: int, expected: Callable[[int], int]) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.listed()
        pane = case.app.candidates.pane
        pane._go(start)
        await case.press()
        assert pane.current is not None
        assert pane.current.index == expected(pane.size.height - 2)


steps("candidate.up", 20, lambda page: 19)
steps("candidate.down", 20, lambda page: 21)
steps("candidate.page_up", 39, lambda page: 39 - page)
steps("candidate.page_down", 0, lambda page: page)
steps("candidate.first", 20, lambda page: 0)
steps("candidate.last", 20, lambda page: 39)


def decides(name: str, decision: str, pane: str) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.found()
        decided = case.app.candidates.pane.current
        assert decided is not None
        decisions = case.app.candidates.tasks.tuning.candidates.decisions
        await case.open(pane)
        await case.press()
        assert decisions() == {decided.id: decision}
        await case.pilot.press("home" if pane == "candidates" else "left")
        await case.press()
        assert decisions() == {}


decides("candidate.approve", "approved", "candidates")
decides("candidate.reject", "rejected", "candidates")
decides("diff.approve", "approved", "diff")
decides("diff.reject", "rejected", "diff")


@effect("candidate.select")
async def _select(case: Case) -> None:
    await case.listed()
    await case.press()
    await case.press()
    assert case.app.candidates.pane.chosen == ["r0", "r1"]


@effect("candidate.send")
async def _send(case: Case) -> None:
    await case.found()
    case.records(case.app.candidates.tasks.tuning.shipping, "review", a_review())
    await case.press()
    await case.shows(ReviewScreen)


@effect("diff.send")
async def _send_from_diff(case: Case) -> None:
    await case.found()
    await case.open("diff")
    case.records(case.app.candidates.tasks.tuning.shipping, "review", a_review())
    await case.press()
    await case.shows(ReviewScreen)


def toggles_alternates(name: str, pane: str) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.found()
        await case.open(pane)
        candidates = case.app.candidates.tasks.tuning.candidates
        await case.press()
        assert candidates.alternates_on
        assert "alternate" in case.calls
        await case.press()
        assert not candidates.alternates_on


toggles_alternates("candidate.alternates", "candidates")
toggles_alternates("diff.alternates", "diff")


def changes_threshold(name: str, nats: float) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.found()
        await case.press()
        assert case.app.candidates.tasks.tuning.candidates.threshold == nats


changes_threshold("candidate.raise", 2.0)
changes_threshold("candidate.lower", 0.5)


@effect("candidate.find")
async def _find(case: Case) -> None:
    await case.found()
    case.records(case.app.candidates.tasks.tuning.candidates, "find")
    await case.press()
    assert case.calls[:1] == ["find"]


@effect("candidate.open")
async def _open_diff(case: Case) -> None:
    await case.listed()
    await case.press()
    assert case.pane == "diff"


def steps_in_diff(name: str, by: int) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        await case.found()
        pane = case.app.candidates.pane
        pane._go(1)
        await case.open("diff")
        await case.press()
        assert pane.current is not None
        assert case.app.candidates.diff._candidate == pane.current
        assert pane._cursor == 1 + by


steps_in_diff("diff.previous", -1)
steps_in_diff("diff.next", 1)


# Questions.


@effect("dialog.cancel")
async def _cancel(case: Case) -> None:
    answers: list[str | None] = []
    case.app.push_screen(Choose("?", [("a", "b")]), answers.append)
    await case.press()
    assert answers == [None]
    assert len(case.app.screen_stack) == 1


def answers_review(name: str, answer: str | None) -> None:
    @effect(name)
    async def row(case: Case) -> None:
        answers: list[str | None] = []
        case.app.push_screen(ReviewScreen(a_review(), undo_seconds=0), answers.append)
        await case.press()
        assert answers == [answer]
        assert len(case.app.screen_stack) == 1


answers_review("review.send", "send")
answers_review("review.context", "context")
answers_review("review.cancel", None)


# Everywhere.


@effect("next_pane")
async def _next_pane(case: Case) -> None:
    visited = []
    for _ in range(5):
        await case.press()
        visited.append(case.pane)
    assert visited == ["detail", "candidates", "diff", "log", "heatmap"]


@effect("previous_pane")
async def _previous_pane(case: Case) -> None:
    visited = []
    for _ in range(5):
        await case.press()
        visited.append(case.pane)
    assert visited == ["log", "diff", "candidates", "detail", "heatmap"]


@effect("measure")
async def _measure(case: Case) -> None:
    shown_measures = []
    for _ in range(2):
        await case.press()
        shown_measures.append((case.app.measure, case.view.rows.grid.measure))
    assert shown_measures == [("sufficiency", "sufficiency"), ("necessity", "necessity")]


@effect("pause")
async def _pause(case: Case) -> None:
    case.run.state = "scoring"
    states = []
    for _ in range(2):
        await case.press()
        states.append((case.run.state, case.run._gate.is_set()))
    assert states == [("paused", False), ("scoring", True)], "and no row starts while the gate is closed"
    case.run.state = "idle"


@effect("score")
async def _score(case: Case) -> None:
    await case.press()
    await case.shows(Choose)
    case.records(case.run, "matrix")
    await case.press()
    await case.pilot.press("enter")
    await case.pilot.pause()
    assert case.calls == ["matrix"]


@effect("restart")
async def _restart(case: Case) -> None:
    case.records(case.run, "restart_scorer")
    case.records(case.run, "matrix")
    await case.press()
    assert case.calls == ["restart_scorer", "matrix"]


@effect("export")
async def _export(case: Case) -> None:
    await case.press()
    await case.shows(Ask)


@effect("copy")
async def _copy(case: Case) -> None:
    await case.press()
    assert (case.folder / "clipboard.txt").read_text() == "city/mira\nMira lives in Lisbon.\n"


@effect("back")
async def _back(case: Case) -> None:
    await case.open("log")
    await case.press()
    assert case.pane == "heatmap"
    await case.pilot.press("slash", "x", "enter")
    assert case.view.rows.filter == "x"
    await case.press()
    assert case.view.rows.filter == ""
    case.patch.setattr(case.run, "cancel", lambda: case.calls.append("cancel"))
    case.run.state = "scoring"
    await case.press()
    assert case.calls == ["cancel"]
    case.run.state = "idle"


def opens_pane(digit: int, pane: str) -> None:
    @effect(f"pane.{digit}")
    async def row(case: Case) -> None:
        await case.open("log" if pane != "log" else "detail")
        await case.press()
        assert case.pane == pane
        assert case.app.focused is not None
        assert pane in {widget.id for widget in case.app.focused.ancestors_with_self}


for _digit, _pane in enumerate(("heatmap", "detail", "candidates", "diff", "log"), 1):
    opens_pane(_digit, _pane)


@effect("delta")
async def _delta(case: Case) -> None:
    await case.press()
    assert not isinstance(case.view.rows.grid, Changes)
    grid = case.run.grids["necessity"]
    case.run.earlier_grids["necessity"] = grid.with_layout(grid.layout)
    await case.press()
    assert isinstance(case.view.rows.grid, Changes)
    assert case.app._title_line.delta
    await case.press()
    assert case.view.rows.grid is grid


@effect("help")
async def _help(case: Case) -> None:
    await case.press()
    await case.shows(Help)


@effect("quit")
async def _quit(case: Case) -> None:
    case.run.state = "scoring"
    await case.press()
    await case.shows(Choose)
    case.run.state = "done"
    await case.press()
    assert case.app.return_value == 0


# The tests.


def test_every_binding_has_a_row() -> None:
    assert set(EFFECTS) == set(bindings_by_id())


_PRESSES = [(name, key) for name, binding in bindings_by_id().items() for key in binding.key.split(",")]


@pytest.mark.parametrize(("name", "key"), _PRESSES, ids=[f"{name}-{key}" for name, key in _PRESSES])
async def test_a_key_has_its_effect(
    screens: Screens, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    async with screens() as (app, pilot):
        fill(run.grids["necessity"])
        app._comparison.show("necessity")
        case = Case(app, pilot, run, tmp_path, monkeypatch)
        case.key = key
        await EFFECTS[name](case)


async def test_help_hints_and_messages_name_the_keys_of_the_keymap(screens: Screens, run: Run) -> None:
    names = sorted(bindings_by_id())
    keymap = {name: f"f{number}" for number, name in enumerate(names, 1)}
    async with screens((160, 48), keymap=keymap) as (app, pilot):

        def said(name: str) -> str:
            return app.get_key_display(bindings_by_id()[name].with_key(keymap[name]))

        view = app._heatmap.view
        view.show_grid(make_grid(3, 3, lambda i, j: 70.0))
        await pilot.pause()
        assert f"peak 70.0: {said('rescale')} fits" in "\n".join(shown(app))
        assert f" {said('sort')} sort " in shown(app)[-1]
        app.candidates.pane.show(candidates_state(3))
        app.candidates.moved()
        app.open_pane("candidates")
        await pilot.pause()
        assert f"{said('candidate.alternates')} turns alternates on" in "\n".join(shown(app))
        await pilot.press(keymap["help"])
        help_screen = app.screen
        assert isinstance(help_screen, Help)
        lines = {line.split()[-1]: line.split()[0] for line in help_screen._text.plain.splitlines() if line.strip()}
        for name in names:
            if name.startswith("candidate.") or name in ("quit", "copy", "pane.1", "next_pane"):
                assert lines[name] == said(name), name
        await pilot.press(keymap["dialog.cancel"])
        app.push_screen(ReviewScreen(a_review(), undo_seconds=60))
        await pilot.pause()
        for name in ("review.send", "review.context", "review.cancel"):
            assert f"{said(name)} " in "\n".join(shown(app))
        await pilot.press(keymap["review.send"])
        await pilot.pause()
        assert f"sending in 60 s · {said('review.cancel')} cancels" in "\n".join(shown(app))
        await pilot.press(keymap["review.cancel"])
        run.state = "failed"
        run.emit(ScorerLost("gone"))
        await drawn(pilot)
        assert f"{said('restart')} starts it again" in "\n".join(told.message for told in app._notifications)
        await pilot.press("t", "a", "q", "escape")
        assert app.is_running, "keys that were remapped have no effect of their own"
