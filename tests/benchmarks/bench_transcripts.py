"""How long coding-agent transcripts of 50 MB take to open, whole and piece by piece.

    python tests/benchmarks/bench_transcripts.py [--megabytes 50] [--profile claude-code]

The files are made as the agents write them: thinking, texts, tool calls and results of a few kilobytes, which are in a
row twice; rows that add nothing; a compaction after about a megabyte. "uncompacted" has none, which no model's context
could hold; "in pieces" reads a file in 1,000 pieces, as following does, and takes the session 20 times.
"""

from __future__ import annotations

import argparse
import cProfile
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from memscope.scoring.layout import layout_of
from memscope.session.detectors import Detector
from memscope.session.formats.registry import format_named
from memscope.session.load import load_session
from memscope.session.nodes import Session
from tests.session.formats.claude_files import call, small_transcript
from tests.session.formats.codex_files import small_rollout

_WORDS = "the port room retro staging deploy reads writes tests fails because memory agent file line value".split()
_COMPACT_AFTER = 2**20


def words(source: random.Random, count: int) -> str:
    """Return text of some length, in lines."""
    return " ".join(source.choices(_WORDS, k=count)).replace(" agent ", "\n")


def claude_code(size: int, compact_after: int = _COMPACT_AFTER) -> bytes:
    """Return a Claude Code transcript of about `size` bytes."""
    source, made = random.Random(1), small_transcript()
    lines: list[bytes] = []
    total = since = number = 0
    while total < size:
        number += 1
        before = len(made.rows)
        message, tool = f"msg_{number}", f"toolu_{number}"
        made.assistant({"type": "thinking", "thinking": words(source, 120)}, message=message, stop=None)
        made.assistant(words(source, 60), message=message, stop=None)
        made.assistant(call("Bash", tool, command=words(source, 12)), message=message, stop="tool_use")
        made.row("progress", data={"type": "bash_progress", "output": words(source, 20)})
        output = words(source, source.randint(50, 900))
        made.result(tool, output, toolUseResult={"stdout": output, "stderr": "", "interrupted": False})
        if number % 12 == 0:
            made.assistant(words(source, 150), message=f"{message}b")
            made.user(words(source, 25))
            made.attach("relevant_memories", memories=[_memory(source) for _ in range(3)])
        if since > compact_after:
            since = 0
            made.row("system", subtype="compact_boundary", parent=None, logicalParentUuid=made.last)
            made.user(words(source, 900), isCompactSummary=True)
        added = b"".join(msgspec.json.encode(row) + b"\n" for row in made.rows[before if lines else 0 :])
        lines.append(added)
        total += len(added)
        since += len(added) // 2
    return b"".join(lines)


def codex(size: int, compact_after: int = _COMPACT_AFTER) -> bytes:
    """Return a Codex rollout of about `size` bytes."""
    source, made = random.Random(2), small_rollout()
    lines: list[bytes] = []
    total = since = number = 0
    while total < size:
        number += 1
        before = len(made.rows)
        made.item("reasoning", summary=[], content=None, encrypted_content="x" * 600)
        made.calls(f"c{number}", words(source, 20))
        made.event("token_count", info={})
        made.result(f"c{number}", words(source, source.randint(50, 900)))
        if number % 12 == 0:
            made.says("assistant", words(source, 150))
            made.event("task_complete")
            made.says("user", words(source, 25))
        if since > compact_after:
            since = 0
            kept = [row["payload"] for row in made.rows[1:4]]
            summary = {"type": "message", "role": "user", "content": words(source, 900)}
            made.row("compacted", message="", replacement_history=[*kept, summary])
        added = b"".join(msgspec.json.encode(row) + b"\n" for row in made.rows[before if lines else 0 :])
        lines.append(added)
        total += len(added)
        since += len(added)
    return b"".join(lines)


def _memory(source: random.Random) -> dict[str, object]:
    path = f"/home/mira/.claude/projects/-shop/memory/{source.randint(0, 60)}.md"
    return {"path": path, "content": words(source, 60)}


def in_pieces(data: bytes, name: str) -> Session:
    """Read a file as following does."""
    reader = format_named(name).reader("file", Detector)
    size = len(data) // 1000 + 1
    for number, start in enumerate(range(0, len(data), size)):
        reader.feed(data[start : start + size])
        if number % 50 == 0:
            reader.session()
    reader.finish()
    return reader.session()


def report(label: str, size: int, read: Callable[..., Session], *arguments: object) -> None:
    """Print how long reading takes, and what was read, and how long finding the rows and columns takes."""
    began, busy = time.perf_counter(), time.process_time()
    session = read(*arguments)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    began = time.perf_counter()
    layout_of(session)
    laid_out = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    longest = max(len(one.prompt) for one in session.calls)
    sys.stdout.write(
        f"{label:<28} {size / 2**20:5.1f} MB  {seconds:6.2f} s ({busy:.2f} s CPU), layout {laid_out:6.2f} s; "
        f"{len(session.calls)} calls, {len(session.nodes)} nodes, "
        f"longest prompt {longest} messages, {len(session.memory_keys())} memories; peak {peak:.0f} MB\n"
    )


def main() -> None:
    """Make the files and time them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--profile", choices=("claude-code", "codex"))
    options = parser.parse_args()
    size = options.megabytes * 2**20
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("claude-code", claude_code), ("codex", codex)):
            if options.profile not in (None, name):
                continue
            data = make(size)
            path = Path(folder) / "session.jsonl"
            path.write_bytes(data)
            if options.profile:
                cProfile.runctx("load_session(path)", {"load_session": load_session, "path": path}, {}, sort="tottime")
                return
            report(name, len(data), load_session, path)
            report(f"{name}, in pieces", len(data), in_pieces, data, name)
            path.write_bytes(make(size, 2**40))
            report(f"{name}, uncompacted", size, load_session, path)


if __name__ == "__main__":
    main()
