"""A session rendered as token ids: sequences, memories and responses.

There is one sequence, or one per response if the model's template rewrites earlier turns.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from memscope.prompt.sequence import TokenSequence, Variant
from memscope.session.nodes import Branch, Memory, Section, Session

__all__ = ["MemorySpan", "Prompt", "Response", "TemplateUsed"]

TemplateUsed: TypeAlias = Literal["chatml", "own"]
"""How a session was rendered: as ChatML, or with the model's own chat template."""


class MemorySpan(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        tokens: Its length over all appearances.
        first_position: Number of tokens before its first appearance.
        first_entry: Position of its first appearance among the conversation's nodes; None in other sections.
        first_response: Index of the first response with scored tokens after it; the number of responses if none.
        conversation_share: Share of the conversation's tokens before its first appearance; 0 in other sections.
    """

    key: str
    section: Section
    tokens: int
    first_position: int
    first_entry: int | None
    first_response: int
    conversation_share: float


class Response(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        index: Its index among the responses.
        entry_index: Its position among the conversation's nodes.
        tokens: Number of scored tokens, including the end of its turn.
        text: The scored text.
        timestamp: The RFC 3339 timestamp from the session file, or None.
    """

    index: int
    entry_index: int
    tokens: int
    text: str
    timestamp: str | None


class Prompt:
    """A session rendered for one tokenizer.

    Attributes:
        sequences: One sequence, or one per response if the template rewrites earlier turns.
        memories: The distinct memories in order of first appearance.
        responses: All responses in order.
        notes: What was changed or guessed in rendering, one line each.
        template: How the session was rendered.
        appends: False if the template rewrites earlier turns.
    """

    def __init__(
        self,
        session: Session,
        sequences: Sequence[TokenSequence],
        responses: Sequence[Response],
        notes: Sequence[str] = (),
        *,
        template: TemplateUsed,
        layout: TokenSequence | None = None,
    ) -> None:
        """Create a prompt.

        Args:
            session: The rendered session.
            sequences: The sequences to score.
            responses: All responses.
            notes: What was changed or guessed in rendering, one line each.
            template: How the session was rendered.
            layout: The whole session as one sequence, to locate memories if there is one sequence per response.
        """
        self.sequences = tuple(sequences)
        self.template = template
        self.appends = layout is None
        self.notes = tuple(dict.fromkeys(notes))
        self._sequence_of = {index: one for one in self.sequences for index in one.responses}
        self.responses = tuple(responses)
        whole = self.sequences[0] if layout is None else layout
        self.memories = _memories(session, whole, self.sequences, self.responses)

    def __len__(self) -> int:
        """Return the number of tokens of the longest sequence."""
        return self.tokens

    @cached_property
    def tokens(self) -> int:
        """The number of tokens of the longest sequence."""
        return max((len(one) for one in self.sequences), default=0)

    @cached_property
    def largest_id(self) -> int:
        """The largest id in all sequences, -1 if there is none."""
        spans = {id(span): span for one in self.sequences for span in one.spans}
        return max((max(span.ids) for span in spans.values() if span.ids), default=-1)

    def variants(
        self,
        without: Collection[str] = (),
        *,
        responses: Collection[int] | None = None,
        entries: range | None = None,
    ) -> list[Variant]:
        """Return the variants to score, one per sequence; sequences without a requested response are skipped.

        Args:
            without: Keys of memories to leave out, in every appearance.
            responses: Indices of the responses to score; None for all.
            entries: Keep only these positions of the conversation (a window); other sections are always kept.
        """
        gone = frozenset(without)
        found = (one.variant(gone, responses, entries) for one in self.sequences)
        return [variant for variant in found if variant is not None]

    def context_ids(self, response: int, without: Collection[str] = (), *, entries: range | None = None) -> array[int]:
        """Return the ids before a response, including the opening of its assistant turn."""
        return self._sequence_of[response].context(response, frozenset(without), entries)

    def continuation_ids(self, response: int) -> array[int]:
        """Return the scored ids of a response."""
        return self._sequence_of[response].continuation(response)

    def overflow(self, limit: int) -> str | None:
        """Return None if everything to score fits into `limit` tokens, or else a line naming the first node beyond."""
        return next((line for one in self.sequences if (line := one.overflow(limit))), None)


def _memories(
    session: Session, layout: TokenSequence, sequences: Sequence[TokenSequence], responses: Sequence[Response]
) -> tuple[MemorySpan, ...]:
    before: dict[str, tuple[int, int]] = {}
    total, conversation = 0, 0
    for span in layout.spans:
        if span.memory is not None:
            before.setdefault(span.memory, (total, conversation))
        total += len(span.ids)
        conversation += len(span.ids) * (span.section == "conversation")
    places = _first_places(session)
    # A template that rewrites turns may render a memory only for some responses, or never.
    tokens = layout.memory_tokens() if places.keys() == before.keys() else _most_tokens([layout, *sequences])
    entries = [response.entry_index for response in responses]
    spans = []
    for key, (section, position) in places.items():
        at, share = before.get(key, (total, conversation))
        inside = section == "conversation"
        spans.append(
            MemorySpan(
                key=key,
                section=section,
                tokens=tokens.get(key, 0),
                first_position=at,
                first_entry=position if inside else None,
                first_response=bisect_left(entries, position) if inside else 0,
                conversation_share=share / conversation if inside and conversation else 0.0,
            )
        )
    return tuple(spans)


def _most_tokens(sequences: Sequence[TokenSequence]) -> dict[str, int]:
    most: dict[str, int] = {}
    for one in sequences:
        for key, tokens in one.memory_tokens().items():
            most[key] = max(tokens, most.get(key, 0))
    return most


def _first_places(session: Session) -> dict[str, tuple[Section, int]]:
    """Return the section and position of every memory's first appearance, in order."""
    places: dict[str, tuple[Section, int]] = {}
    for section, position, node in session.prompt_order():
        for leaf in node.children if isinstance(node, Branch) else (node,):
            if isinstance(leaf, Memory):
                places.setdefault(leaf.key, (section, position))
    return places
