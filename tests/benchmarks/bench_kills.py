"""Kill 200 sends at random moments against a real server: does the ledger ever disagree with its list of jobs?

`python tests/benchmarks/bench_kills.py`: each kill is a SIGKILL to a process that sends one shipment after the other;
afterwards every mark is compared with the server's own list. Prints in which states the kills left their last shipment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import start_scorer, stop_scorer
from tests.training.kills import judge, kill_sends


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scorer = start_scorer("--served-name", "tiny")
    os.environ["MEMSCOPE_API_KEY"] = scorer.token
    try:
        with tempfile.TemporaryDirectory() as folder:
            killed = kill_sends(arguments.kills, Path(folder), scorer, arguments.seed)
            left = asyncio.run(judge(Path(folder), scorer))
    finally:
        stop_scorer(scorer)
    sys.stdout.write(f"{killed.total()} kills; their last shipment was {_said(killed)}\n")
    sys.stdout.write(f"{left.total()} shipments, every mark agrees with the server's list: {_said(left)}\n")


def _said(counts: Counter[str]) -> str:
    return ", ".join(f"{state} {count}" for state, count in counts.most_common())


if __name__ == "__main__":
    main()
