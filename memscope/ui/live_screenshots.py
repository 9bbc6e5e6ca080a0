"""Screenshots of the live demo at several moments; the screen follows a recording that grows between them.

The agent talks once, as fast as it can, and what was recorded is then appended call by call, with times that do not
change from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from textual.pilot import Pilot

from memscope.config import Config
from memscope.demo.live.recorded import RecordedAgent
from memscope.engines.child import EmbeddedServer
from memscope.errors import MemscopeError
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.session.follow import FollowedFile, empty_session
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.capture import save_picture, until
from memscope.ui.options import UiOptions

__all__ = ["LIVE_PICTURES", "LivePicture", "record_agent", "take_live"]

_BEGINS = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
_PACE = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class LivePicture:
    """One screenshot of the live demo.

    Attributes:
        name: The beginning of its file name.
        calls: Take it when this many calls were recorded and scored.
        keys: Keys to press before.
    """

    name: str
    calls: int
    keys: Sequence[str] = ()


LIVE_PICTURES = (
    LivePicture("live-early", 7, (*["down"] * 13, *["right"] * 6)),
    LivePicture("live", 24, ("down", *["right"] * 8)),
)


async def record_agent(folder: Path) -> list[str]:
    """Let the agent talk to the bundled model; return the recorded calls, each with what precedes it.

    Raises:
        MemscopeError: The agent failed.
    """
    recording = folder / "said.jsonl"
    server = await EmbeddedServer.start(None)
    try:
        agent = await RecordedAgent.start(server.url, server.token, recording, 0.0)
        if failure := await agent.wait():
            raise MemscopeError(f"the agent failed: {failure}")
    finally:
        await server.stop()
    return list(_calls(recording.read_text(encoding="utf-8").splitlines()))


def _calls(lines: Sequence[str]) -> Iterator[str]:
    text, number = "", 0
    for line in lines:
        row = json.loads(line)
        if row["type"] == "recording":
            row |= {"id": "live", "title": "an agent at work"}
        elif row["type"] == "call":
            row["timestamp"] = f"{_BEGINS + number * _PACE:%Y-%m-%dT%H:%M:%SZ}"
        text += json.dumps(row) + "\n"
        if row["type"] == "call":
            yield text
            text, number = "", number + 1


async def take_live(calls: Sequence[str], size: tuple[int, int], folder: Path, state: Path) -> list[Path]:
    """Take all screenshots of the live demo in one size.

    Args:
        calls: What `record_agent` returned.
        size: Columns and lines.
        folder: Where the screenshots are written.
        state: A folder for this session alone.
    """
    config = Config(state=str(state), follow=True)
    database = Database(state)
    recording = state / "live.jsonl"
    file = FollowedFile(recording)
    run = Run(file.poll().session or empty_session(file), config, database)
    following = Following(run, file)
    app = MemscopeApp(run, UiOptions(state, colours="full", undo_seconds=0, read_only=True), following)
    taken = []
    async with app.run_test(size=size) as pilot:
        shown = 0
        for picture in LIVE_PICTURES:
            with recording.open("a", encoding="utf-8") as growing:
                growing.write("".join(calls[shown : picture.calls]))
            shown = picture.calls
            await _scored(run, following, shown, pilot)
            await pilot.press(*picture.keys)
            taken.append(await save_picture(app, pilot, folder, picture.name))
    await app.shut_down()
    await run.close()
    database.close()
    return taken


async def _scored(run: Run, following: Following, calls: int, pilot: Pilot[int]) -> None:
    await until(lambda: len(run.session.calls) == calls and run.state == "done" and not following.pending, pilot)
