"""What an agent's calls cost: tokens forwarded against the minimum of the tree of calls.

`python tests/benchmarks/bench_calls.py [--calls 40] [--filler 300]`: an agent of 40 calls whose system message has 20
retrieved memories, three of which change every turn, scored with the bundled model. The minimum is the number of nodes
in the trie of all sequences that are scored: what two of them share is forwarded once. `--filler` lengthens each answer
by so many tokens of small talk, as real agents' answers are longer than the bundled model's.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from memscope.config import Config
from memscope.run.run import Run
from memscope.store.database import Database
from tests.call_sessions import call_session, retrieving_agent, trie_size


async def measure(calls: int, filler: int) -> None:
    """Score the agent and print what it cost."""
    session = call_session(retrieving_agent(calls, filler=filler))
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        run = Run(session, Config(), database)
        try:
            began = time.monotonic()
            await run.matrix()
            seconds = time.monotonic() - began
            prompt = run.prompt
            variants = [one.ids for one in prompt.variants()]
            for memory in prompt.memories:
                variants += [one.ids for one in prompt.variants({memory.key}, responses=memory.responses)]
            bare = [one.ids for one in prompt.variants(run.layout.keys)]
            minimum = trie_size([*variants, *bare])
            forwarded = run.cost.tokens_forwarded
            rows = len(run.layout.rows)
            print(f"{calls} calls, {rows} memories, longest prompt {prompt.tokens} tokens, {seconds:.0f} s")
            print(f"naive     {run.cost.tokens_naive:>12,}")
            print(f"minimum   {minimum:>12,}")
            print(f"forwarded {forwarded:>12,}  {forwarded / minimum:.4f} x the minimum")
            print(
                f"          {len(variants) + len(bare):>12,} sequences, each forwarded from the edge of a block of 64"
            )
        finally:
            await run.close()
            database.close()


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--filler", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.calls, arguments.filler))


if __name__ == "__main__":
    main()
