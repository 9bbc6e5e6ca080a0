"""What to do about a session that cannot be scored because it has no memories or no responses."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from memscope.session.nodes import Branch, Session
from memscope.session.suggestions import suggestions
from memscope.session.text import responses
from memscope.terminal.counts import counted

__all__ = ["MARKABLE", "GivenOptions", "advice"]

MARKABLE = ("chat", "chat-lines", "recording", "anthropic", "responses", "langchain", "langchain-lines")
"""Formats in which the user can mark a memory."""

_MARK = '"memory": {"key": "user/name"}'
_MEMORY_LINE = '{"type":"memory","section":"identity","key":"user/name","text":"…"}'
_LIKE_ASSISTANT = ("ai", "agent", "bot", "gpt", "model", "human_assistant")


class GivenOptions(NamedTuple):
    """The options of a command line, each as its words, such as ("--url", "http://host:8000/v1").

    Attributes:
        reading: Those that decide how the file is read, which every command takes.
        others: Those of the scorer, the state and the screen, which `memscope convert` does not take.
    """

    reading: tuple[tuple[str, ...], ...] = ()
    others: tuple[tuple[str, ...], ...] = ()


def advice(session: Session, options: GivenOptions | None = None) -> tuple[str, ...]:
    """Return what was looked for and what to do, line by line; nothing for a session that can be scored.

    Args:
        session: The session.
        options: The options that were given, which the suggested commands repeat.
    """
    lines: list[str] = []
    if not session.memory_keys():
        lines += _about_memories(session, options or GivenOptions())
    if next(responses(session), None) is None:
        lines += _about_responses(session)
    return (f"the file was read as {session.source.format}", *lines) if lines else ()


def _about_memories(session: Session, options: GivenOptions) -> Iterator[str]:
    if session.source.format == "native":
        yield f"a native session names its memories: add lines such as {_MEMORY_LINE}"
        return
    path = session.source.path
    yield f"these rules looked for memories: {', '.join(session.source.searched) or 'none'}"
    found = suggestions(session)
    if found:
        yield "these places look most like memories, each with the command that takes them:"
    for suggestion in found:
        yield f"  {suggestion.place}"
        yield f"    {suggestion.command(path, (*options.reading, *options.others))}"
    start = "or" if found else "you can"
    if session.source.format in MARKABLE:
        yield f"{start} mark a message or a text block as a memory: {_MARK}"
    else:
        convert = shlex.join(["memscope", "convert", path, *chain(*options.reading), "-o", "session.jsonl"])
        yield f"{start} convert it ({convert}) and add lines such as {_MEMORY_LINE}"


def _about_responses(session: Session) -> Iterator[str]:
    if session.calls:
        states = Counter(call.status for call in session.calls)
        shown = ", ".join(f"{count} {state}" for state, count in states.items())
        yield f"a response is what a call returned; calls in this file: {shown}"
        return
    roles = Counter(node.role for node in session.section("conversation") if isinstance(node, Branch))
    shown = ", ".join(counted(count, f"{role} turn") for role, count in roles.items())
    yield f"a response is a turn of the conversation with the role assistant and a text; here: {shown or 'no turns'}"
    for role in roles:
        if role.lower() in _LIKE_ASSISTANT:
            yield f"if {role!r} is the agent, change that role to 'assistant'"
