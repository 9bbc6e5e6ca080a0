"""How often the stated noise floor bounds the difference of two independent runs.

    python tests/benchmarks/check_noise_floor.py [--sessions 6] [--memories 12] [--turns 14] [--threads 1,2]

Every session is scored from nothing by a fresh `memscope serve` on each compute path and number of threads; every pair
of runs is compared cell by cell with the smaller of the two floors. The promise is at least 99 % of the cells.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from memscope.config import Config
from memscope.demo import session_path
from memscope.demo.build.generator import Shape, make_session
from memscope.run.run import Run
from memscope.scoring.grid import Grid
from memscope.session.load import load_session
from memscope.session.nodes import Session
from memscope.store.database import Database
from tests.conftest import ScorerAddress, start_scorer, stop_scorer
from tests.demo_sessions import as_session

PATHS = ("products", "flash", "stock", "whole")


async def _scored(session: Session, scorer: ScorerAddress) -> Grid:
    os.environ["MEMSCOPE_API_KEY"] = scorer.token
    with tempfile.TemporaryDirectory() as state:
        database = Database(Path(state))
        run = Run(session, Config(url=scorer.url, state=state), database)
        try:
            await run.matrix()
            return run.grids["necessity"]
        finally:
            await run.close()
            database.close()


def _grids(sessions: Sequence[Session], path: str, threads: int) -> list[Grid]:
    os.environ["MEMSCOPE_SERVE_PATH"] = path
    scorer = start_scorer("--threads", str(threads))
    try:
        return [asyncio.run(_scored(session, scorer)) for session in sessions]
    finally:
        stop_scorer(scorer)


def _differences(one: Grid, other: Grid) -> tuple[list[float], float]:
    floor = min(one.noise_floor or 0.0, other.noise_floor or 0.0)
    pairs = zip(one.values, other.values, strict=True)
    cells = [
        abs(a - b)
        for row, (left, right) in zip(one.rows, pairs, strict=True)
        for column, (a, b) in enumerate(zip(left, right, strict=True))
        if row.affects(column)
    ]
    return cells, floor


def main() -> None:
    """Print one line a pair of runs, then the share of all cells within their floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--memories", type=int, default=12)
    parser.add_argument("--turns", type=int, default=14)
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    shape = Shape(options.memories, options.turns)
    sessions = [as_session(make_session(Random(f"noise {n}"), shape)) for n in range(options.sessions)]
    sessions.append(load_session(session_path()))
    runs = {
        (path, threads): _grids(sessions, path, threads)
        for path in PATHS
        for threads in map(int, options.threads.split(","))
    }
    within = total = 0
    for (name, ones), (other_name, others) in itertools.combinations(runs.items(), 2):
        worst, inside, cells = 0.0, 0, 0
        floors = []
        for one, other in zip(ones, others, strict=True):
            differences, floor = _differences(one, other)
            floors.append(floor)
            worst = max(worst, *differences)
            inside += sum(difference <= floor for difference in differences)
            cells += len(differences)
        within, total = within + inside, total + cells
        print(
            f"{name} against {other_name}: {inside}/{cells} cells within the floor ({inside / cells:.2%}), "
            f"worst {worst:.1e} nat, floors {min(floors):.1e} to {max(floors):.1e}"
        )
    print(f"all: {within}/{total} ({within / total:.3%})")


if __name__ == "__main__":
    main()
