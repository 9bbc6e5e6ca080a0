"""Write generated sessions as native session files: `python -m memscope.demo.build.writing > big.jsonl`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from memscope.demo.build.generator import Block, Shape, make_session
from memscope.session.formats.native_writer import write_native
from memscope.session.nodes import Branch, Content, Header, Leaf, Memory, Node, Section, Session, ToolCall, ToolResult

__all__ = ["as_session", "main"]

_BEGINS = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
_PACE = timedelta(seconds=23)
_CALL_OPENS, _CALL_CLOSES = "<tool_call>\n", "\n</tool_call>\n"


def as_session(blocks: Sequence[Block], header: Header) -> Session:
    """Return generated blocks as a session: memories before the first turn are identity, later ones conversation."""
    return Session(header=header, nodes=tuple(_nodes(blocks)))


def _nodes(blocks: Sequence[Block]) -> Iterator[Node]:
    section: Section = "identity"
    now = _BEGINS
    for block in blocks:
        if block.role == "system":
            yield Branch(section="system", role="system", children=(Content(text=block.text),))
        elif block.role == "memory":
            yield Memory(section=section, key=block.key, text=block.text)
        elif block.role == "tool":
            yield ToolResult(text=block.text)
        else:
            section = "conversation"
            now += _PACE
            yield Branch(role=block.role, timestamp=f"{now:%Y-%m-%dT%H:%M:%SZ}", children=(_leaf(block.text),))


def _leaf(text: str) -> Leaf:
    if not text.startswith(_CALL_OPENS):
        return Content(text=text)
    call = json.loads(text.removeprefix(_CALL_OPENS).removesuffix(_CALL_CLOSES))
    return ToolCall(name=call["name"], arguments=call["arguments"])


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one session to standard output; the same options write the same bytes."""
    parser = argparse.ArgumentParser(prog="python -m memscope.demo.build.writing", description="Write a session.")
    parser.add_argument("--memories", type=_at_least_one, default=20, help="facts remembered (default: 20)")
    parser.add_argument("--turns", type=_at_least_one, default=24, help="exchanges (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="decides everything else (default: 0)")
    options = parser.parse_args(arguments)
    name = f"generated-{options.memories}-{options.turns}-{options.seed}"
    blocks = make_session(Random(f"written {options.seed}"), Shape(options.memories, options.turns))
    session = as_session(blocks, Header(id=name, title=name, model="memscope-demo"))
    sys.stdout.write(write_native(session).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
