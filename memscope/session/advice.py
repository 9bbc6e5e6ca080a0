"""What to do about a session that cannot be scored because it has no memories or no responses."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from memscope.session.nodes import Branch, Call, Session
from memscope.session.suggestions import suggestions
from memscope.session.text import responses
from memscope.terminal.counts import counted
from memscope.terminal.safe import shorten

__all__ = ["MARKABLE", "GivenOptions", "advice"]

MARKABLE = ("chat", "chat-lines", "recording", "anthropic", "responses", "langchain", "langchain-lines")
"""Formats in which the user can mark a memory."""

_MARK = '"memory": {"key": "user/name"}'
_MEMORY_LINE = '{"type":"memory","section":"identity","key":"user/name","text":"…"}'
_MOST_FAILURES = 3
"""How many ways in which calls failed are told."""

_SHOWN = 120
"""How much of an error is shown, in terminal cells."""

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
    if lines and session.source.choice:
        lines.append(session.source.choice)
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


def _about_calls(session: Session) -> str:
    failures = Counter(_failure(call) for call in session.calls if call.status == "failed")
    total = counted(len(session.calls), "call")
    if not failures:
        return f"a response is what a call returned; {total} of {session.header.title!r} returned no text"
    told = failures.most_common(_MOST_FAILURES)
    shown = [f"{count} {failure}" for failure, count in told]
    if others := failures.total() - sum(count for _, count in told):
        shown.append(f"{others} in other ways")
    return f"{failures.total()} of {total} of {session.header.title!r} failed: {', '.join(shown)}"


def _failure(call: Call) -> str:
    """Return how a call failed, as far as the file says it."""
    if status := call.extra.get("http_status"):
        return f"with HTTP status {status}"
    if isinstance(error := call.extra.get("error"), str):
        return f"with {shorten(error, _SHOWN)!r}"
    return "without a response"


def _about_responses(session: Session) -> Iterator[str]:
    if session.calls:
        yield _about_calls(session)
        return
    roles = Counter(node.role for node in session.section("conversation") if isinstance(node, Branch))
    shown = ", ".join(counted(count, f"{role} turn") for role, count in roles.items())
    yield f"a response is a turn of the conversation with the role assistant and a text; here: {shown or 'no turns'}"
    for role in roles:
        if role.lower() in _LIKE_ASSISTANT:
            yield f"if {role!r} is the agent, change that role to 'assistant'"
