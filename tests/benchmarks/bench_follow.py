"""What following a session costs: `python tests/benchmarks/bench_follow.py`.

An agent appends the bundled demo session response by response, then goes on with variations of its conversation. Prints
for each part of the session:

- tokens forwarded for an appended response against scoring the session again, which is the exact minimum of its length;
- how long a new response takes until it is shown, and until all of its cells are scored;
- memory of the screen's process at 100, 200 and 300 responses;
- the longest time for which the event loop did not answer, while following and during a burst of 1,000 nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memscope.demo
from memscope.config import Config
from memscope.demo import session_path
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.scoring.events import Event, Finished, SessionGrown
from memscope.session.follow import FollowedFile, empty_session
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.options import UiOptions

_SIZE = (160, 48)
_TICK_SECONDS = 0.002
_BURST_NODES = 1000
_POSITIONS = 32_768


class Agent:
    """Appends to the session file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = [json.loads(line) for line in Path(session_path()).read_text(encoding="utf-8").splitlines()]
        self._head = [row for row in rows if not _in_conversation(row)]
        self._conversation = [row for row in rows if _in_conversation(row)]
        self._rows = self._endless()

    def begin(self) -> None:
        """Write the header and the memories that every prompt has."""
        self._write(self._head)

    def answer(self) -> None:
        """Write what belongs to the next response, up to and including it."""
        rows = []
        for row in self._rows:
            rows.append(row)
            if row.get("role") == "assistant":
                break
        self._write(rows)

    def burst(self, nodes: int) -> None:
        """Write many nodes at once."""
        self._write([next(self._rows) for _ in range(nodes)])

    def _endless(self) -> Iterator[dict[str, Any]]:
        yield from self._conversation
        lap = 1
        while True:
            yield from (_varied(row, lap) for row in self._conversation if row["type"] == "branch")
            lap += 1

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _in_conversation(row: dict[str, Any]) -> bool:
    return bool(row["type"] != "session" and row.get("section", "conversation") == "conversation")


def _varied(row: dict[str, Any], lap: int) -> dict[str, Any]:
    children = [
        {**child, "text": f"{child['text']} ({lap})"} if "text" in child else child for child in row["children"]
    ]
    return {**row, "children": children}


class Bench:
    """A screen that follows the agent's file, and what is measured of it."""

    def __init__(self, app: MemscopeApp, run: Run, following: Following, agent: Agent) -> None:
        self.app, self.run, self.following, self.agent = app, run, following, agent
        self.forwarded = 0
        self._changed = asyncio.Event()
        self._stall = self._work = 0.0
        run.listen(self._heard)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.forwarded += event.tokens_forwarded
        self._changed.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    def scored(self) -> bool:
        """Return whether nothing is left to score."""
        return self.following.pending == 0 and self.run.state == "done"

    async def answer(self) -> tuple[float, float, int]:
        """Append one response; return the seconds until it is shown and scored, and the tokens forwarded."""
        count, before, began = len(self.run.layout.columns), self.forwarded, time.perf_counter()
        self.agent.answer()
        await self.until(lambda: len(self.run.layout.columns) > count)
        shown = time.perf_counter() - began
        await self.until(self.scored)
        return shown, time.perf_counter() - began, self.forwarded - before

    def minimum(self) -> int:
        """Return the tokens of scoring everything again: the baseline, all left out, and a row per memory."""
        prompt = self.run.prompt
        stripped = sum(len(variant.ids) for variant in prompt.variants(self.run.layout.keys))
        return prompt.tokens + stripped + sum(memory.tokens_after for memory in prompt.memories)

    async def watch(self) -> None:
        """Notice for how long the event loop does not answer, and how much of that it works."""
        while True:
            wall, work = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK_SECONDS)
            self._stall = max(self._stall, time.perf_counter() - wall - _TICK_SECONDS)
            self._work = max(self._work, time.thread_time() - work)

    def stalls(self) -> str:
        """Return the longest stall since the last call, and the longest work, which other processes do not delay."""
        stall, work = self._stall, self._work
        self._stall = self._work = 0.0
        return f"the event loop answered within {stall * 1000:.0f} ms and worked for {work * 1000:.0f} ms at most"


def _long_model(folder: Path) -> str:
    """Return a copy of the bundled model that accepts longer sequences than it was trained on."""
    shutil.copytree(Path(memscope.demo.__file__).with_name("model"), folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings["max_position_embeddings"] = _POSITIONS
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return str(folder)


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _costs(bench: Bench, responses: int) -> None:
    measured = []
    for _ in range(responses):
        shown, scored, tokens = await bench.answer()
        measured.append((shown, scored, tokens, bench.minimum()))
    shown_ms, seconds, tokens, ratios = (
        statistics.median(values) for values in zip(*((1000 * a, b, c, d / c) for a, b, c, d in measured), strict=True)
    )
    layout, total = bench.run.layout, sum(row[2] for row in measured)
    _say(
        f"to {len(layout.columns)} responses × {len(layout.rows)} memories, {bench.run.prompt.tokens} tokens: "
        f"{tokens:.0f} tokens a response at the median, {ratios:.1f} times fewer than scoring again "
        f"({sum(row[3] for row in measured) / total:.1f} times in total, {measured[-1][3] / measured[-1][2]:.1f} times "
        f"for the last one); shown after {shown_ms:.0f} ms, "
        f"scored after {seconds:.2f} s; {bench.stalls()}"
    )


async def _grow(bench: Bench, targets: list[int]) -> None:
    for target in targets:
        while len(bench.run.layout.columns) < target:
            count = len(bench.run.layout.columns)
            bench.agent.answer()
            await bench.until(lambda count=count: len(bench.run.layout.columns) > count)  # type: ignore[misc]
        await bench.until(bench.scored)
        _say(
            f"{target} responses, {bench.run.prompt.tokens} tokens: {_rss_mib():.0f} MiB in the screen's process; "
            f"{bench.stalls()}"
        )


async def _burst(bench: Bench) -> None:
    bench.following.pause()
    bench.stalls()
    versions: list[Event] = []
    bench.run.listen(lambda event: versions.append(event) if isinstance(event, SessionGrown) else None)
    began = time.perf_counter()
    bench.agent.burst(_BURST_NODES)
    await bench.until(lambda: bool(versions))
    shown = time.perf_counter() - began
    await asyncio.sleep(1)
    _say(
        f"a burst of {_BURST_NODES} nodes: {len(versions)} new version, shown after {shown * 1000:.0f} ms; "
        f"{bench.stalls()}"
    )


async def _run(responses: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(follow=True, state=f"{folder}/state", model=_long_model(Path(folder) / "model"))
        path = Path(folder) / "live.jsonl"
        database, file = Database(config.state_folder()), FollowedFile(path)
        run = Run(empty_session(file), config, database)
        following = Following(run, file)
        app = MemscopeApp(run, UiOptions.of(config), following)
        bench = Bench(app, run, following, Agent(path))
        try:
            async with app.run_test(size=_SIZE) as pilot:
                await bench.until(lambda: run.state == "ready")
                watching = asyncio.create_task(bench.watch())
                bench.agent.begin()
                _say(f"{_rss_mib():.0f} MiB in the screen's process before the first response")
                await pilot.pause()
                for _ in range(4):
                    await _costs(bench, 10)
                await _grow(bench, list(range(100, responses + 1, 100)))
                await _burst(bench)
                watching.cancel()
            await app.shut_down()
        finally:
            await run.close()
            database.close()


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--responses", type=int, default=300, help="how far to go (default: 300)")
    asyncio.run(_run(parser.parse_args().responses))


if __name__ == "__main__":
    main()
