"""The screen as a whole: sizes, keys, hostile text, and one session filled by the real scorer."""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from memscope.run.run import Run
from memscope.scoring.events import Notice, ScorerLost
from memscope.scoring.tokens import CellTokens
from memscope.ui.dialogs import Ask, Choose
from memscope.ui.help import Help
from memscope.ui.keys import known_ids
from memscope.ui.panes import PANES
from memscope.ui.score_queue import ScoreRequest

from .conftest import EVIL, Screens, drawn, fill, scored, shown

pytestmark = pytest.mark.anyio

_FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def assert_inert(lines: list[str]) -> None:
    assert [c for line in lines for c in line if unicodedata.category(c) in _FORBIDDEN] == []


@pytest.mark.parametrize("size", [(80, 24), (139, 40), (160, 48)])
async def test_hostile_text_is_inert_in_every_pane(screens: Screens, run: Run, size: tuple[int, int]) -> None:
    async with screens(size) as (app, pilot):
        fill(run.grids["necessity"])
        run.emit(Notice(EVIL))
        run.emit(ScorerLost(EVIL, (EVIL,)))
        await drawn(pilot)
        await pilot.press("ctrl+end", "end", "enter")
        for key in ("1", "2", "5", "r", "escape", "question_mark"):
            await pilot.press(key)
            await pilot.pause()
            assert_inert(shown(app))
        await pilot.press("escape", "2")
        await pilot.pause()
        text = "\n".join(shown(app))
        assert "␛[31mred‹9B›5m‹202E›gnp.exe‹200B›[bold]loud[/bold]␇" in text


async def test_a_wide_screen_shows_heatmap_and_detail_and_a_narrow_one_a_pane(screens: Screens) -> None:
    async with screens((160, 48)) as (app, pilot):
        panes = {spec.id: app.query_one(f"#{spec.id}") for spec in PANES}
        assert [name for name, pane in panes.items() if pane.display] == ["heatmap", "detail", "candidates", "diff"]
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert [name for name, pane in panes.items() if pane.display] == ["heatmap"]
        await pilot.press("tab")
        assert [name for name, pane in panes.items() if pane.display] == ["detail"]
        await pilot.press("5")
        assert [name for name, pane in panes.items() if pane.display] == ["log"]
        await pilot.press("escape")
        assert [name for name, pane in panes.items() if pane.display] == ["heatmap"]


async def test_a_terminal_too_small_says_so_and_recovers(screens: Screens) -> None:
    async with screens((79, 23)) as (app, pilot):
        assert [line.strip() for line in shown(app) if line.strip()] == ["memscope needs 80×24; this is 79×23"]
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert any("city/mira" in line for line in shown(app))


async def test_the_session_is_painted_without_a_scorer(screens: Screens, run: Run) -> None:
    async with screens() as (app, _):
        lines = "\n".join(shown(app))
        assert run.state == "idle"
        assert "6 memories × 5 responses" in lines
        assert "數據庫/スキーマ" in lines
        assert "not scored" in lines


async def test_ctrl_c_hints_and_then_quits(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await pilot.press("ctrl+c")
        assert app.is_running
        await pilot.press("ctrl+c")
        assert app.return_value == 0


async def test_q_is_a_letter_while_typing(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await pilot.press("slash", "q", "s", "n")
        assert app.query_one("#filter", Input).value == "qsn"
        await pilot.press("escape", "e", "q")
        assert isinstance(app.screen, Ask)
        await pilot.press("escape", "q")
        assert app.return_value == 0


async def test_quitting_asks_only_while_something_runs(screens: Screens, run: Run) -> None:
    async with screens() as (app, pilot):
        run.state = "scoring"
        await pilot.press("q")
        assert isinstance(app.screen, Choose)
        await pilot.press("escape", "ctrl+q")
        assert isinstance(app.screen, Choose)
        await pilot.press("enter")
        await pilot.pause()
        assert app.return_value == 0


async def test_keys_are_remapped_by_id_and_unknown_ids_are_reported(screens: Screens) -> None:
    async with screens(keymap={"sort": "f3", "qiut": "x"}) as (app, pilot):
        rows = app._heatmap.view.rows
        sorts = []
        for key in ("s", "f3"):
            await pilot.press(key)
            sorts.append(rows.sort)
        assert sorts == ["appearance", "importance"]
        await pilot.press("5")
        assert any("qiut" in line for line in shown(app))


async def test_an_unknown_theme_falls_back_with_a_message(screens: Screens) -> None:
    async with screens(theme="no-[bold]such") as (app, pilot):
        assert app.theme == "textual-dark"
        await pilot.press("5")
        assert any("unknown theme 'no-[bold]such'" in line for line in shown(app))


async def test_help_lists_the_live_keys_of_the_pane(screens: Screens) -> None:
    async with screens((80, 24), keymap={"zoom": "f4"}) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        text = app.screen._text.plain
        assert "f4" in text
        assert "pane.2" in text
        assert "pane.4" in text
        assert max(map(len, text.splitlines())) <= 72


def test_no_key_is_one_that_terminals_keep() -> None:
    from textual.binding import Binding

    from memscope.ui import keys

    kept = {f"ctrl+{letter}" for letter in "absjohim"}
    for group in (keys.APP, keys.HEATMAP, keys.HEATMAP_PANE, keys.DETAIL, keys.LOG, keys.DIALOG, keys.WORKSPACE):
        for binding in group:
            assert isinstance(binding, Binding)
            assert binding.id in known_ids()
            assert kept.isdisjoint(binding.key.split(","))


async def test_no_color_means_glyphs(screens: Screens, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with screens(colours=None) as (app, pilot):
        fill(run.grids["necessity"])
        app._heatmap.view.rows_changed(set(range(6)))
        await pilot.pause()
        assert app._heatmap.view.colours == "none"
        assert any("░" in line or "▒" in line for line in shown(app))


async def test_copy_and_export_leave_files_and_overwrite_nothing(screens: Screens, run: Run, tmp_path: Path) -> None:
    async with screens() as (app, pilot):
        await pilot.press("ctrl+end", "y")
        assert (tmp_path / "clipboard.txt").read_bytes().decode() == f"{EVIL}\n{EVIL}\n"
        app._export.write("necessity", str(tmp_path / "grid.csv"))
        assert not (tmp_path / "grid.csv").exists()
        await pilot.press("5")
        assert any("nothing has been scored yet" in line for line in shown(app))


async def test_a_session_fills_in_and_a_cell_opens_token_by_token(screens: Screens, run: Run, tmp_path: Path) -> None:
    async with screens((160, 48)) as (app, pilot):
        async with scored(run, pilot):
            app._score_queue.add(ScoreRequest("necessity"))
        assert set(run.grids["necessity"].status) == {"done"}
        await pilot.press("enter")
        asking = app._cell._asking
        assert asking is not None
        await asking
        await pilot.pause()
        text = "\n".join(shown(app))
        assert "per token" in text
        assert "more likely with the memory" in text
        app._export.write("necessity", str(tmp_path / "grid.json"))
        app._export.write("necessity", str(tmp_path / "grid.json"))
        assert (tmp_path / "grid.json").read_text().startswith('{"memscope":1')
        await pilot.press("escape", "r")
        choices = app.screen.query_one(OptionList)
        assert [choices.get_option_at_index(n).id for n in range(choices.option_count)] == ["row", "column", "all"]
        async with scored(run, pilot):
            await pilot.press("enter")
        assert_inert(shown(app))


async def test_a_move_on_the_spot_does_not_cancel_what_enter_asked(
    screens: Screens, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[asyncio.Future[CellTokens]] = []

    async def answer(*_: object) -> CellTokens:
        asked.append(asyncio.get_running_loop().create_future())
        return await asked[-1]

    monkeypatch.setattr(run, "tokens", answer)
    async with screens((160, 48)) as (app, pilot):
        await pilot.press("enter", "1", "left", "up")
        asked[0].set_result(CellTokens((" a", " token"), (-1.0, -1.0), (-2.0, -1.0)))
        await pilot.pause()
        assert len(asked) == 1
        assert "largest changes" in "\n".join(shown(app))
        await pilot.press("down")
        assert "largest changes" not in "\n".join(shown(app))
