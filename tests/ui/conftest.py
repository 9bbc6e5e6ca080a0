"""Sessions, grids and screens to test with: the real run over a real store; only a few tests start its scorer."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from textual.pilot import Pilot

from memscope.config import Config
from memscope.run.candidates import Candidates
from memscope.run.run import Run
from memscope.scoring.events import Event, ScorerReady, StateChanged
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Column, Row
from memscope.scoring.table import NOTHING_LEFT_OUT
from memscope.session.nodes import Branch, Content, Header, Leaf, Memory, Node, Session
from memscope.store.database import Database
from memscope.ui import cell
from memscope.ui.app import MemscopeApp
from memscope.ui.options import UiOptions
from tests.scoring.grids import filled, set_row

EVIL = "\x1b[31mred\x9b5m\u202egnp.exe\u200b[bold]loud[/bold]\x07"
"""What nobody's terminal should obey."""

AppPilot: TypeAlias = tuple[MemscopeApp, Pilot[int]]
Screens: TypeAlias = Callable[..., AbstractAsyncContextManager[AppPilot]]


def _turn(role: str, *children: Leaf) -> Branch:
    return Branch(role=role, children=children, timestamp="2026-11-20T10:00:00Z")


def make_session() -> Session:
    """Six memories, five responses; one memory's key and text, one response and the title are hostile."""
    people = [("mira", "Lisbon"), ("tom", "Oslo"), ("ada", "Turin"), ("ben", "Graz")]
    nodes: list[Node] = [
        Memory(section="identity", key=f"city/{name}", text=f"{name.title()} lives in {city}.") for name, city in people
    ]
    for name, city in people:
        nodes.append(_turn("user", Content(text=f"Where does {name.title()} live?")))
        nodes.append(_turn("assistant", Content(text=f"{name.title()} lives in {city}.")))
    nodes += [Memory(key="數據庫/スキーマ", text="wide"), Memory(key=EVIL, text=EVIL)]
    nodes.append(_turn("assistant", Content(text=EVIL)))
    return Session(header=Header(id="test", title=EVIL), nodes=tuple(nodes))


def make_grid(rows: int, columns: int, value: Callable[[int, int], float] | None = None) -> Grid:
    """A grid whose memory i first appears before response 0; `value` fills every row."""
    memories = [Row(f"key/{i:03}", "identity", f"text {i}", 1, range(columns)) for i in range(rows)]
    said = [Column(f"r{j}", j, j, f"response {j}", f"response {j}", None) for j in range(columns)]
    values = [] if value is None else [[value(i, j) for j in range(columns)] for i in range(rows)]
    return filled(memories, said, values)


def fill(grid: Grid) -> None:
    """Give a run's grid numbers: row i depends on response i alone, by i + 1 nats."""
    grid.table.put(NOTHING_LEFT_OUT, dict.fromkeys(grid.layout.responses, 0.0))
    for i, row in enumerate(grid.rows):
        set_row(grid, row.key, [i + 1.0 if i == j else 0.0 for j in range(len(grid.columns))])


def find_candidates(app: MemscopeApp) -> Candidates:
    """Let every response be a candidate of the weights in use, 5 nats and less; no scorer is asked."""
    run, candidates = app.measured, app.candidates.tasks.tuning.candidates
    run.scorer = ScorerReady("fake", "m", "float32", "http://127.0.0.1:9", "score", "w", verified=True)
    candidates._divergences = {response: 5.0 - place for place, response in enumerate(run.layout.responses)}
    candidates._table = run.table
    app.candidates.redraw()
    return candidates


def nans(count: int) -> array[float]:
    """A row that is not scored."""
    return array("d", [math.nan]) * count


@asynccontextmanager
async def scored(run: Run, pilot: Pilot[int]) -> AsyncIterator[None]:
    """Wait at the end until a matrix that was started inside has ended, and the screen has drawn it."""
    ended = asyncio.Event()
    stop = run.listen(lambda event: ended.set() if event == StateChanged("done") else None)
    yield
    await ended.wait()
    stop()
    await drawn(pilot)


@asynccontextmanager
async def heard(run: Run, what: type[object] | Callable[[Event], bool]) -> AsyncIterator[None]:
    """Wait at the end until an event of a kind, or one that satisfies, was announced inside or later."""
    ended = asyncio.Event()
    matches = (lambda event: isinstance(event, what)) if isinstance(what, type) else what
    stop = run.listen(lambda event: ended.set() if matches(event) else None)
    yield
    await ended.wait()
    stop()


async def drawn(pilot: Pilot[int]) -> None:
    """Let everything that was announced be drawn."""
    app = pilot.app
    assert isinstance(app, MemscopeApp)
    app._feed.flush()
    await pilot.pause()


_REFRESHES = 500


async def eventually(pilot: Pilot[int], reached: Callable[[], bool]) -> None:
    """Textual draws and scrolls some refreshes later: let them happen."""
    for _ in range(_REFRESHES):
        if reached():
            return
        await pilot.pause()
    raise AssertionError("it did not happen")


def shown(app: MemscopeApp) -> list[str]:
    """The lines of the screen as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in line)[:width] for line in lines][:height]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that was not opened."""
    config = Config(state=str(tmp_path))
    database = Database(config.state_folder())
    yield Run(make_session(), config, database)
    database.close()


@pytest.fixture
def screens(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screens:
    """Opens the screen of a given size over the run; its scorer starts only where something is asked for."""
    # A cursor that rests asks for tokens: no test starts a scorer because it took long.
    monkeypatch.setattr(cell, "_REST_SECONDS", 1e6)

    @asynccontextmanager
    async def opened(size: tuple[int, int] = (80, 24), **options: Any) -> AsyncIterator[AppPilot]:
        chosen = {"score": False, "colours": "full", **options}
        app = MemscopeApp(run, UiOptions(tmp_path, **chosen))
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield app, pilot
        await app.shut_down()
        await run.close()

    return opened
