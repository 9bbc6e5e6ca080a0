"""Threads: which calls continue the same conversation, and which are side calls.

A thread is a conversation whose calls extend each other. System messages and memories are not compared: retrieval
changes them from call to call while the conversation goes on. Reasoning is not compared either, because agents often
do not send it back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from memscope.session.nodes import Branch, Call, Content, Node, Opaque, Session, ToolCall, ToolResult
from memscope.session.positions import Positions
from memscope.session.text import is_head_turn, leaf_text, responses

__all__ = ["Thread", "response_threads"]

_Digest = bytes


class Thread(NamedTuple):
    """The thread of a response.

    Attributes:
        number: Its number, from 0 in order of first response.
        side: Whether its calls are side calls (titles, summaries, sub-agents): another thread has most of the
            responses, and a different system prompt or other tools.
    """

    number: int
    side: bool


def response_threads(session: Session) -> list[Thread]:
    """Return the thread of each response, in order; an append-only session is one thread."""
    found = list(responses(session))
    if not session.calls:
        return [Thread(0, side=False)] * len(found)
    finder = _ThreadFinder(session)
    numbers = [finder.number(response.call) for response in found if response.call is not None]
    sides = _side_threads(numbers, finder.heads)
    return [Thread(number, number in sides) for number in numbers]


def _side_threads(numbers: Sequence[int], heads: Sequence[_Digest]) -> set[int]:
    """Return the threads to hide; none unless one thread holds most of the responses."""
    if not numbers:
        return set()
    main, count = Counter(numbers).most_common(1)[0]
    if count * 2 <= len(numbers):
        return set()
    return {number for number, head in enumerate(heads) if head != heads[main]}


class _ThreadFinder:
    """Assigns calls, in order, to threads.

    Attributes:
        heads: For each thread, a digest of the system prompt and the tools of its first call, without memories.
    """

    def __init__(self, session: Session) -> None:
        self._nodes = session.nodes
        self._said = {id(node): _said(node) for node in session.nodes}
        self._threads: dict[_Digest, int] = {}
        self._known: dict[int, list[_Digest]] = {}
        self.heads: list[_Digest] = []

    def number(self, call: Call) -> int:
        """Return the thread of the next call: that of the longest earlier exchange that its prompt begins with."""
        chains, count = self._chains(call.prompt), len(call.prompt)
        places = range(count - 1, -1, -1)
        number = next((self._threads[chains[place]] for place in places if chains[place] in self._threads), None)
        if number is None:
            number = len(self.heads)
            self.heads.append(self._head(call))
        end = chains[count - 1] if count else b""
        if call.response is not None:
            self._threads[_extended(end, self._said[id(self._nodes[call.response])])] = number
        return number

    def _chains(self, prompt: Sequence[int]) -> list[_Digest]:
        """Return a digest of the conversation up to each position of a prompt, and of longer ones that share it."""
        chains = self._known.setdefault(id(prompt.origin), []) if isinstance(prompt, Positions) else []
        for position in prompt[len(chains) :]:
            node = self._nodes[position]
            said = b"" if is_head_turn(node) else self._said[id(node)]
            before = chains[-1] if chains else b""
            chains.append(_extended(before, said) if said else before)
        return chains

    def _head(self, call: Call) -> _Digest:
        texts = [self._said[id(node)] for node in map(self._nodes.__getitem__, call.prompt) if is_head_turn(node)]
        return hashlib.blake2b(b"".join(texts) + msgspec.json.encode(call.tools), digest_size=16).digest()


def _said(node: Node) -> _Digest:
    """Return a digest of the role and the compared text of a node; b"" if it has none."""
    leaves = node.children if isinstance(node, Branch) else (node,)
    kept = [leaf for leaf in leaves if isinstance(leaf, Content | ToolCall | ToolResult | Opaque)]
    texts = [f"{leaf.kind} {leaf.size}" if isinstance(leaf, Opaque) else leaf_text(leaf) for leaf in kept]
    if not any(texts):
        return b""
    role = node.role if isinstance(node, Branch) else ""
    said = "\0".join((role, "".join(texts).strip()))
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _extended(chain: _Digest, said: _Digest) -> _Digest:
    return hashlib.blake2b(chain + said, digest_size=16).digest()
