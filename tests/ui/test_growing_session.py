"""The session is replaced by a longer one: cursor, filter, order and marks stay with what they are about."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from memscope.run.run import Run
from memscope.scoring.events import PromptReady
from memscope.session.nodes import Branch, Content, Memory, Session

from .conftest import Screens, drawn, fill, find_candidates, shown

pytestmark = pytest.mark.anyio


def longer(session: Session) -> Session:
    """A memory before all others, one more response after all others."""
    first = Memory(section="identity", key="aaa/new", text="Zoe lives in Split.")
    said = Branch(role="assistant", children=(Content(text="Goodbye."),), timestamp="2026-11-20T11:00:00Z")
    return replace(session, nodes=(first, *session.nodes, said))


async def test_the_cursor_stays_on_its_cell(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        fill(run.grids["necessity"])
        app._comparison.show("necessity")
        view = app._heatmap.view
        await pilot.press("down", "down", "right", "right")
        cell = (view.key, view.response)
        place = view.memory
        await run.replace_session(longer(run.session))
        run.emit(PromptReady(100, "chatml"))
        await drawn(pilot)
        assert (view.key, view.response) == cell
        assert view.memory != place, "the memory stands elsewhere now"
        assert view.row == 3
        assert view.rows.columns == 6
        facts = app._cell.facts()
        assert facts is not None
        assert (facts.row.key, facts.column.id) == cell
        assert facts.value == run.grids["necessity"].values[facts_row(run, cell[0])][facts_column(run, cell[1])]


def facts_row(run: Run, key: str | None) -> int:
    row = run.layout.row_index(key or "")
    assert row is not None
    return row


def facts_column(run: Run, response: str | None) -> int:
    column = run.layout.column_index(response or "")
    assert column is not None
    return column


async def test_a_filter_stays_and_takes_new_memories(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        await pilot.press("slash", *"lives", "enter")
        await run.replace_session(longer(run.session))
        run.emit(PromptReady(100, "chatml"))
        await drawn(pilot)
        text = "\n".join(shown(app))
        assert app._heatmap.view.rows.filter == "lives"
        assert "aaa/new" in text
        assert "スキーマ" not in text


async def test_candidates_keep_cursor_selection_and_decisions(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        find_candidates(app)
        await pilot.press("3", "a", "space", "down")
        pane = app.candidates.pane
        kept = (pane.current, pane.chosen, app.candidates.tasks.tuning.candidates.decisions())
        assert kept[1]
        assert kept[2]
        await run.replace_session(longer(run.session))
        find_candidates(app)
        run.emit(PromptReady(100, "chatml"))
        await drawn(pilot)
        current = pane.current
        assert current is not None
        assert kept[0] is not None
        assert (current.id, pane.chosen) == (kept[0].id, kept[1])
        assert app.candidates.tasks.tuning.candidates.decisions() == kept[2]


async def test_what_is_scored_again_is_what_the_question_was_about(screens: Screens, run: Run) -> None:
    asked: list[object] = []

    async def matrix(*_: object, keys: object = None, responses: object = None, **__: object) -> None:
        asked.append((keys, responses))

    async with screens((160, 48)) as (app, pilot):
        run.matrix = matrix  # type: ignore[method-assign]
        fill(run.grids["necessity"])
        await pilot.press("down", "r")
        key = app._heatmap.view.key
        await run.replace_session(longer(run.session))
        run.emit(PromptReady(100, "chatml"))
        await drawn(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert asked == [((key,), None)]


async def test_a_shorter_session_is_shown_before_the_next_paint(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        fill(run.grids["necessity"])
        app._comparison.show("necessity")
        await pilot.press("ctrl+end")
        await run.replace_session(replace(run.session, nodes=run.session.nodes[:2]))
        app._heatmap.view.refresh()
        await pilot.pause()
        assert app._heatmap.view.key == "city/mira"
        assert "數據庫" not in "\n".join(shown(app))
