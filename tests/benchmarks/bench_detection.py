"""How long memory rules and suggestions take on prompts that are long but harmless.

    python tests/benchmarks/bench_detection.py [--megabytes 50]

"found" is what the rules need for one prompt, "suggested" what the advice needs where they find nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

from memscope.session.advice import advice
from memscope.session.detectors import Detector
from memscope.session.formats.chat import read_chat
from memscope.session.nodes import Session

T = TypeVar("T")
R = TypeVar("R")

_PROSE = "The quick brown fox jumps over the lazy dog and remembers notes about the user. " * 12 + "\n"
_BULLET = "- a bullet that is not as long as that\n"


def prompts(size: int) -> dict[str, str]:
    """Return prompts by what they are; those after the first two have about `size` characters."""
    return {
        "10,000 memories": "## Memories\n" + "".join(f"- Fact {n} about Mira, who is {n}\n" for n in range(10_000)),
        "10,000 memories of two rules": "Notes:\n"
        + "".join(f'- <memory key="k{n}">x</memory>\n- b{n}\n' for n in range(5000)),
        "prose": _PROSE * (size // len(_PROSE)),
        "one line": "x " * (size // 2),
        "bullets that are no memories": "## Tools\n" + _BULLET * (size // len(_BULLET)),
        "headings": "## Tools\n\n" * (size // 10),
    }


def read(prompt: str) -> Session:
    """Return a session with this system prompt."""
    messages = [{"role": "system", "content": prompt}, {"role": "assistant", "content": "Yes."}]
    return read_chat(messages, "prompt.json", Detector())


def timed(work: Callable[[T], R], subject: T) -> tuple[R, float]:
    """Return what something returns, and how long it takes in seconds."""
    began = time.perf_counter()
    made = work(subject)
    return made, time.perf_counter() - began


def main() -> None:
    """Print one line per prompt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50.0)
    size = int(parser.parse_args().megabytes * 2**20)
    for name, prompt in prompts(size).items():
        session, found = timed(read, prompt)
        _, suggested = timed(advice, session)
        contents = f"{len(prompt) / 2**20:>6.1f} MB {len(session.memory_keys()):>6} keys"
        print(f"{name:<30} {contents}  found {found:6.2f} s  suggested {suggested:5.2f} s", flush=True)


if __name__ == "__main__":
    main()
