"""What the screen costs, all rows in one run: `python tests/benchmarks/bench_screen.py`.

Everything runs in a real terminal driver on a pseudo-terminal of 160 x 48. The limits are ratios between rows of the
same run, and CPU milliseconds for the scrolling.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import random
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import DataTable

from memscope.scoring.grid import Grid
from memscope.scoring.layout import Column, Layout, Row
from memscope.scoring.table import NOTHING_LEFT_OUT, AblationTable, without
from memscope.ui.heatmap.pane import HeatmapPane

ROWS, COLUMNS = 1000, 2000
TABLE_ROWS, TABLE_COLUMNS = 200, 200
"""A fiftieth of the heatmap's cells."""

SIZE = (160, 48)
BEST_OF = 6
_DEADLINE_SECONDS = 300.0


def filled_grid(density: float) -> Grid:
    """A grid whose cells are set with this probability."""
    chance = random.Random(0)
    rows = [Row(f"topic/{i:04}", "identity", f"memory {i}", 1, range(COLUMNS)) for i in range(ROWS)]
    columns = [Column(f"r{j}", j, j, f"response {j}", f"response {j}", None) for j in range(COLUMNS)]
    table = AblationTable()
    table.put(NOTHING_LEFT_OUT, {column.id: 0.0 for column in columns})
    for row in rows:
        known = (chance.expovariate(0.3) if chance.random() < density else 0.0 for _ in range(COLUMNS))
        table.put(without(row.key), {column.id: -nats for column, nats in zip(columns, known, strict=True)})
    return Grid(Layout(rows, columns), table)


class Bench(App[None]):
    """One widget that fills the screen."""

    CSS = "HeatmapPane, HeatmapView, DataTable { height: 1fr; } HeatmapView { scrollbar-size: 1 1; }"

    def __init__(self, make: Callable[[], Widget]) -> None:
        super().__init__()
        self._make = make

    def compose(self) -> ComposeResult:
        """The widget."""
        self.widget = self._make()
        yield self.widget


def _table() -> DataTable[str]:
    table: DataTable[str] = DataTable()
    table.add_columns(*(str(j) for j in range(TABLE_COLUMNS)))
    for i in range(TABLE_ROWS):
        table.add_row(*(f"{(i * j) % 97 / 7:.2f}" for j in range(TABLE_COLUMNS)))
    return table


def _measure(make: Callable[[], Widget], keys: tuple[str, ...]) -> dict[str, float]:
    """Return CPU milliseconds of the first paint and of one press of each key."""
    result: dict[str, float] = {}
    began = time.process_time()
    app = Bench(make)

    async def drive(pilot: Pilot[object]) -> None:
        await pilot.pause()
        result["first paint"] = 1000 * (time.process_time() - began)
        widget = app.widget
        (widget.view if isinstance(widget, HeatmapPane) else widget).focus()
        await pilot.pause()
        for key in keys:
            started, presses = time.process_time(), 20
            for _ in range(presses):
                await pilot.press(key)
                await pilot.pause()
            result[key] = 1000 * (time.process_time() - started) / presses
        app.exit()

    asyncio.run(app.run_async(auto_pilot=drive))
    return result


def child(name: str, out: Path) -> None:
    """Run one measurement in this process, which owns a terminal."""
    if name == "table":
        result = _measure(_table, ())
    else:
        grid = filled_grid({"sparse": 0.05, "dense": 1.0}[name])
        result = _measure(lambda: HeatmapPane(grid, "full"), ("pagedown", "right", "z"))
    out.write_text(json.dumps(result))


def on_terminal(argv: list[str], until: bytes | None = None, **env: str) -> tuple[float, int]:
    """Run a program on a pseudo-terminal; return seconds until `until` was seen, or its end, and bytes it wrote."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", **env})
        os.execv(argv[0], argv)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    seen, written = b"", 0
    while time.perf_counter() - began < _DEADLINE_SECONDS:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        written += len(data)
        seen = seen[-200:] + data
        if until is not None and until in seen:
            break
    seconds = time.perf_counter() - began
    if until is not None:
        os.kill(pid, signal.SIGTERM)
    os.close(terminal)
    os.waitpid(pid, 0)
    return seconds, written


def best(argv: list[str], until: bytes | None = None, **env: str) -> float:
    """Return the shortest of several runs, in seconds."""
    return min(on_terminal(argv, until, **env)[0] for _ in range(BEST_OF))


def in_child(name: str) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        on_terminal([sys.executable, __file__, "--child", name, "--out", str(out)])
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", choices=("sparse", "dense", "table"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.out)
        return
    python = sys.executable
    run = "import sys; from memscope.cli import main; sys.exit(main(sys.argv[1:]))"
    with tempfile.TemporaryDirectory() as state:
        textual = best([python, "-c", "import textual"])
        print(f"{'import textual':<44}{1000 * textual:>9.0f} ms   1.00", flush=True)
        helped = best([python, "-c", run, "--help"])
        print(f"{'memscope --help':<44}{1000 * helped:>9.0f} ms {helped / textual:>6.2f}   (limit 0.5)", flush=True)
        painted = best([python, "-c", run, "--state", state], "memories ×".encode(), TEXTUAL="")
        print(f"{'memscope, first paint of the demo':<44}{1000 * painted:>9.0f} ms {painted / textual:>6.2f}   (2.5)")
    table = in_child("table")["first paint"]
    print(f"{f'DataTable {TABLE_ROWS} x {TABLE_COLUMNS}, first paint, CPU':<44}{table:>9.0f} ms   1.00", flush=True)
    for name in ("sparse", "dense"):
        result = in_child(name)
        first = result["first paint"]
        what = f"heatmap {ROWS} x {COLUMNS}, {name}"
        print(f"{what + ', first paint, CPU':<44}{first:>9.0f} ms {first / table:>6.2f}   (limit 1.0)")
        print(f"{what + ', page down, CPU':<44}{result['pagedown']:>9.1f} ms          (limit 40 ms)")
        print(f"{what + ', cursor right, CPU':<44}{result['right']:>9.1f} ms")
        print(f"{what + ', zoom, CPU':<44}{result['z']:>9.1f} ms", flush=True)


if __name__ == "__main__":
    main()
