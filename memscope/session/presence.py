"""Where the memories of a session are present, and so which responses they can affect."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from memscope.session.nodes import Memory, Node, Section, Session, memories_of
from memscope.session.positions import Positions
from memscope.session.text import is_response, responses

__all__ = ["MemoryPresence", "memory_presence", "nodes_before", "version_before"]


@dataclass(slots=True)
class MemoryPresence:
    """One memory of a session.

    Attributes:
        key: Its identity.
        section: The section of its first appearance.
        entry_index: The position within that section of the node of its first appearance.
        versions: Its distinct texts in order of first appearance.
        appearances: How many times it appears; in a session with calls, how many times in one prompt at most.
        responses: Ascending indices of the responses whose prompt contains it; a `range` where they are consecutive.
    """

    key: str
    section: Section
    entry_index: int
    versions: tuple[str, ...] = ()
    appearances: int = 0
    responses: Sequence[int] = field(default_factory=list)


def memory_presence(session: Session) -> dict[str, MemoryPresence]:
    """Return the presence of each memory by key, in order of first appearance."""
    return _in_calls(session) if session.calls else _in_order(session)


def _in_order(session: Session) -> dict[str, MemoryPresence]:
    """Return the presence in an append-only session: from the first appearance to the last response."""
    found: dict[str, MemoryPresence] = {}
    first_response: dict[str, int] = {}
    count = 0
    for section, position, node in session.prompt_order():
        for memory in memories_of(node):
            known = found.setdefault(memory.key, MemoryPresence(memory.key, section, position))
            first_response.setdefault(memory.key, count)
            _add_version(known, memory)
            known.appearances += 1
        count += is_response(section, node)
    for key, presence in found.items():
        presence.responses = range(first_response[key], count)
    return found


def _in_calls(session: Session) -> dict[str, MemoryPresence]:
    memories = [memories_of(node) for node in session.nodes]
    found: dict[str, MemoryPresence] = {}
    counted = _MemoryCounter(session, memories, found)
    indices: dict[str, list[int]] = {}
    for index, response in enumerate(responses(session)):
        call = response.call
        assert call is not None  # noqa: S101 - every response of a session with calls has one
        counts = counted.counts(call.prompt)
        if call.response is not None and memories[call.response]:
            counts = counted.add(dict(counts), [call.response])
        for key, count in counts.items():
            indices.setdefault(key, []).append(index)
            found[key].appearances = max(count, found[key].appearances)
    for key, presence in found.items():
        presence.responses = _as_range(indices[key])
    return found


class _MemoryCounter:
    """Counts the memories in prompts, and adds those that were not there before to a dict."""

    def __init__(
        self, session: Session, memories: Sequence[Sequence[Memory]], found: dict[str, MemoryPresence]
    ) -> None:
        self._nodes, self._entries = session.nodes, session.entry_indices()
        self._memories, self._found = memories, found
        self._known: dict[int, tuple[int, dict[str, int]]] = {}

    def counts(self, prompt: Sequence[int]) -> Mapping[str, int]:
        """Return how many times each memory appears in a prompt; of prompts that share, the shorter come first."""
        if not isinstance(prompt, Positions):
            return self.add({}, prompt)
        length, counts = self._known.get(id(prompt.origin), (0, {}))
        if length > len(prompt):
            return self.add({}, prompt)
        self._known[id(prompt.origin)] = len(prompt), self.add(counts, prompt[length:])
        return counts

    def add(self, counts: dict[str, int], positions: Iterable[int]) -> dict[str, int]:
        """Add the memories at some positions to the counts, and return them."""
        for position in positions:
            for memory in self._memories[position]:
                section, entry = self._nodes[position].section, self._entries[position]
                _add_version(self._found.setdefault(memory.key, MemoryPresence(memory.key, section, entry)), memory)
                counts[memory.key] = counts.get(memory.key, 0) + 1
        return counts


def _add_version(presence: MemoryPresence, memory: Memory) -> None:
    if memory.text not in presence.versions:
        presence.versions += (memory.text,)


def _as_range(indices: list[int]) -> Sequence[int]:
    first, end = indices[0], indices[-1] + 1
    return range(first, end) if end - first == len(indices) else tuple(indices)


def nodes_before(session: Session, response: int) -> list[Node]:
    """Return the nodes of a response's prompt in order; none if there is no such response.

    Args:
        session: The session.
        response: The index of the response.
    """
    one = next(islice(responses(session), response, None), None)
    if one is None:
        return []
    if one.call is not None:
        return [session.nodes[position] for position in one.call.prompt]
    order = (node for _, _, node in session.prompt_order())
    return list(takewhile(lambda node: node is not one.turn, order))


def version_before(session: Session, key: str, response: int) -> str:
    """Return the text of a memory that a response's prompt contains; "" if it contains none.

    Args:
        session: The session.
        key: The memory.
        response: The index of the response.
    """
    found = (memory for node in nodes_before(session, response) for memory in memories_of(node) if memory.key == key)
    return next((memory.text for memory in deque(found, maxlen=1)), "")
