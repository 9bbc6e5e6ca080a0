"""The sequences of a session with calls: calls that continue each other share one, and the rest branches off.

A call whose prompt begins with the prompt and the response of an earlier call continues that call's sequence. Sequences
that branch off repeat what they share, which a scorer that keeps prefixes computes once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from memscope.prompt.places import Place
from memscope.session.nodes import Branch, Session
from memscope.session.text import RecordedResponse, responses

__all__ = ["CallSequence", "call_sequences"]

_RAW_API = "openai-completions"
"""The API whose prompts are raw text or ids."""
_CONTINUING_API = "anthropic-messages"
"""The API whose responses continue an assistant message at the end of the prompt."""


@dataclass(frozen=True, slots=True)
class CallSequence:
    """Calls that continue each other.

    Attributes:
        places: The prompt and the response of the last call, in which the responses of all these calls are scored.
        tools: The tool definitions that were sent.
        raw: Whether the nodes are raw text or ids, rendered without a chat template.
    """

    places: tuple[Place, ...]
    tools: Sequence[Mapping[str, Any]] = ()
    raw: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """What its rendering depends on, comparable with that of others whose nodes exist."""
        places = ((id(place.node), place.position, place.response, place.cut, place.continues) for place in self.places)
        return (self.raw, _encoded(self.tools), *places)


def call_sequences(session: Session) -> list[CallSequence]:
    """Return the sequences of a session with calls, in order of their first response."""
    builder = _SequenceBuilder(session)
    for index, response in enumerate(responses(session)):
        builder.add(index, response)
    return builder.sequences


class _SequenceBuilder:
    """Adds calls to sequences, finding what they continue in a trie of prompts."""

    def __init__(self, session: Session) -> None:
        self.sequences: list[CallSequence] = []
        self._nodes = session.nodes
        self._entries = session.entry_indices()
        self._trie: dict[tuple[int, int], int] = {}
        self._tips: dict[tuple[int, bytes], int] = {}
        self._tools: dict[int, bytes] = {}

    def add(self, index: int, response: RecordedResponse) -> None:
        """Add a response to the sequence that its call continues, or to a new one."""
        call = response.call
        if call is None or call.response is None:
            return
        raw = call.api == _RAW_API or self._is_turn(call.response, "completion")
        kind = bytes([raw]) + self._tools.setdefault(id(call.tools), _encoded(call.tools))
        known, tip, end = 0, None, 0
        for count, state in enumerate(self._states(call.prompt), 1):
            end = state
            if (state, kind) in self._tips:
                known, tip = count, (state, kind)
        continues = call.api == _CONTINUING_API and bool(call.prompt) and self._is_turn(call.prompt[-1], "assistant")
        if continues:  # elsewhere the turn that it continues has an end of its own
            known, tip = 0, None
        places = [self._place(position) for position in call.prompt[known:]]
        places.append(
            self._place(call.response)._replace(response=index, cut=call.status == "cut", continues=continues)
        )
        number = len(self.sequences) if tip is None else self._tips.pop(tip)
        if tip is None:
            self.sequences.append(CallSequence(tuple(places), call.tools, raw))
        else:
            before = self.sequences[number]
            self.sequences[number] = replace(before, places=(*before.places, *places))
        if not continues:
            self._tips[self._next(end, call.response), kind] = number

    def _states(self, prompt: Sequence[int]) -> Iterator[int]:
        state = 0
        for position in prompt:
            state = self._next(state, position)
            yield state

    def _next(self, state: int, position: int) -> int:
        """Return the trie's state after one more node; a message that was sent again is the same node object."""
        return self._trie.setdefault((state, id(self._nodes[position])), len(self._trie) + 1)

    def _place(self, position: int) -> Place:
        node = self._nodes[position]
        return Place(node.section, self._entries[position], node)

    def _is_turn(self, position: int, role: str) -> bool:
        node = self._nodes[position]
        return isinstance(node, Branch) and node.role == role


def _encoded(tools: Sequence[Mapping[str, Any]]) -> bytes:
    return msgspec.json.encode(tools)
