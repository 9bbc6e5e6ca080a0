"""Turn a session of calls into an append-only one, which can be written in the native format.

An append-only session has one prompt that only grows. A thread of calls becomes the conversation of its last call: the
prompt of that call and its response. What other calls had and this one does not is left out, and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from memscope.errors import SessionError, UsageError
from memscope.session.nodes import (
    Branch,
    Call,
    Content,
    Header,
    Node,
    Opaque,
    Section,
    Session,
    memories_of,
)
from memscope.session.text import is_head_turn, responses
from memscope.session.threads import response_threads
from memscope.terminal.counts import counted

__all__ = ["AppendOnly", "append_only"]


class AppendOnly(NamedTuple):
    """An append-only session, and what was left out of the original one, one line each."""

    session: Session
    left_out: tuple[str, ...]


def append_only(session: Session, thread: int | None = None) -> AppendOnly:
    """Return a session without calls, tools and parts that are not text.

    Args:
        session: Any session.
        thread: The number of the thread to keep, from 0; None for the one with most responses.

    Raises:
        UsageError: There is no such thread.
        SessionError: The calls are raw completions, which have no turns.
    """
    if not session.calls:
        if thread:
            raise UsageError(f"thread {thread} does not exist: the session is one conversation, thread 0")
        return AppendOnly(msgspec.structs.replace(session, tools=()), tuple(_lost(session.nodes, len(session.tools))))
    calls, others = _calls_of(session, thread)
    nodes = tuple(_conversation(session, calls))
    header = _header(session.header, calls)
    made = Session(header=header, nodes=nodes, source=session.source)
    return AppendOnly(made, (*others, *_differences(session, calls, made), *_lost(nodes, len(calls[-1].tools))))


def _calls_of(session: Session, thread: int | None) -> tuple[list[Call], list[str]]:
    """Return the answered calls of a thread, and what is said about the other threads."""
    threads = [one.number for one in response_threads(session)]
    answered = [response.call for response in responses(session) if response.call is not None]
    counts = Counter(threads)
    if not counts:
        raise SessionError(f"{session.source.path}: no call has a response: nothing to convert")
    chosen = counts.most_common(1)[0][0] if thread is None else thread
    if chosen not in counts:
        raise UsageError(f"thread {chosen} does not exist: the session has threads 0 to {max(counts)}")
    calls = [call for call, number in zip(answered, threads, strict=True) if number == chosen]
    if calls[-1].api == "openai-completions":
        raise SessionError(f"{session.source.path}: raw completions have no turns: the native format cannot hold them")
    others = [f"thread {number} ({counted(count, 'response')})" for number, count in counts.items() if number != chosen]
    said = f"thread {chosen} is kept, left out: {', '.join(others)}; choose another one with --thread"
    return calls, [said] if others else []


def _conversation(session: Session, calls: Sequence[Call]) -> Iterator[Node]:
    """Yield the prompt and the response of the last call, with the system messages before all others first."""
    times = {id(session.nodes[call.response]): call.timestamp for call in session.calls if call.response is not None}
    section: Section = "system"
    for position in _positions(calls[-1]):
        node = session.nodes[position]
        if not is_head_turn(node):
            section = "conversation"
        yield _placed(node, section, times)


def _positions(call: Call) -> tuple[int, ...]:
    return (*call.prompt, *(() if call.response is None else (call.response,)))


def _placed(node: Node, section: Section, times: Mapping[int, str | None]) -> Node:
    if not isinstance(node, Branch):
        return msgspec.structs.replace(node, section=section)
    leaves = tuple(msgspec.structs.replace(leaf, section=section) for leaf in node.children)
    timestamp = node.timestamp or times.get(id(node))
    return msgspec.structs.replace(node, section=section, children=leaves, timestamp=timestamp)


def _header(header: Header, calls: Sequence[Call]) -> Header:
    return header if header.model else msgspec.structs.replace(header, model=calls[-1].model)


def _differences(session: Session, calls: Sequence[Call], made: Session) -> Iterator[str]:
    """Yield what the calls of the thread had that the conversation of the last one does not have."""
    kept = {id(session.nodes[position]) for position in _positions(calls[-1])}
    if missing := sum(call.response is not None and id(session.nodes[call.response]) not in kept for call in calls):
        them = "it as it was" if missing == 1 else "them as they were"
        yield f"{counted(missing, 'response')} left out: the prompt of the last call does not contain {them}"
    if any(later.prompt[: len(earlier.prompt)] != earlier.prompt for earlier, later in pairwise(calls)):
        yield "prompts changed from call to call: all responses now have that of the last call"
    prompts = {position for call in calls for position in call.prompt}
    keys = dict.fromkeys(memory.key for position in sorted(prompts) for memory in memories_of(session.nodes[position]))
    if gone := [key for key in keys if key not in made.memory_keys()]:
        yield f"{counted(len(gone), 'memory', 'memories')} left out that only earlier calls had: {', '.join(gone)}"


def _lost(nodes: Sequence[Node], tools: int) -> Iterator[str]:
    """Yield what the native format does not hold."""
    leaves = [leaf for node in nodes for leaf in (node.children if isinstance(node, Branch) else (node,))]
    if tools:
        yield f"{counted(tools, 'tool definition')} left out: a native session has none"
    if opaque := sum(isinstance(leaf, Opaque) for leaf in leaves):
        yield f"{counted(opaque, 'part')} without text became log entries"
    if exact := sum(isinstance(leaf, Content) and bool(leaf.token_ids) for leaf in leaves):
        yield f"the exact token ids of {counted(exact, 'part')} left out"
