"""A session rendered as token ids: sequences, memories and responses.

There is one sequence, or one per response if the model's template rewrites earlier turns. A session with calls has one
for all calls that continue each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from memscope.prompt.sequence import TokenSequence, Variant
from memscope.session.nodes import Section, Session
from memscope.session.presence import memory_presence

__all__ = ["MemorySpan", "Prompt", "Response", "TemplateUsed"]

TemplateUsed: TypeAlias = Literal["chatml", "own"]
"""How a session was rendered: as ChatML, or with the model's own chat template."""


class MemorySpan(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        tokens: Its length over all appearances; in a session with calls, in one sequence at most.
        tokens_after: Number of tokens after its first appearance that remain when it is left out, over all sequences.
        first_entry: Position of its first appearance among the conversation's nodes; None in other sections.
        responses: Ascending indices of the responses that it can affect.
        conversation_share: Share of the conversation's tokens before its first appearance; 0 in other sections. In a
            session with calls, the share of responses before the first one it can affect.
    """

    key: str
    section: Section
    tokens: int
    tokens_after: int
    first_entry: int | None
    responses: Sequence[int]
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
        sequences: The sequences to score; each response is scored in one of them.
        memories: The distinct memories in order of first appearance.
        responses: All responses in order.
        notes: What was changed or guessed in rendering, one line each.
        template: How the session was rendered.
    """

    def __init__(
        self,
        session: Session,
        sequences: Sequence[TokenSequence],
        responses: Sequence[Response],
        notes: Sequence[str] = (),
        *,
        template: TemplateUsed,
        wholes: Sequence[TokenSequence] = (),
    ) -> None:
        """Create a prompt.

        Args:
            session: The rendered session.
            sequences: The sequences to score.
            responses: All responses.
            notes: What was changed or guessed in rendering, one line each.
            template: How the session was rendered.
            wholes: Sequences in which to locate memories; by default those to score.
        """
        self.sequences = tuple(sequences)
        self.template = template
        self.notes = tuple(dict.fromkeys(notes))
        self._sequence_of = {index: one for one in self.sequences for index in one.responses}
        self.responses = tuple(responses)
        self.memories = _memories(session, wholes or self.sequences, self.sequences, len(self.responses))

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
    session: Session, wholes: Sequence[TokenSequence], sequences: Sequence[TokenSequence], responses: int
) -> tuple[MemorySpan, ...]:
    presence = memory_presence(session)
    shares = _conversation_shares(wholes)
    # A template that rewrites turns may render a memory only for some responses, or never.
    tokens = _most_tokens(wholes)
    if tokens.keys() != presence.keys():
        tokens = _most_tokens([*wholes, *sequences])
    after = _tokens_after(sequences)
    spans = []
    for key, memory in presence.items():
        inside = memory.section == "conversation"
        share = memory.responses[0] / responses if session.calls else shares.get(key, 1.0) * inside
        spans.append(
            MemorySpan(
                key=key,
                section=memory.section,
                tokens=tokens.get(key, 0),
                tokens_after=after.get(key, 0) * bool(memory.responses),
                first_entry=memory.entry_index if inside else None,
                responses=memory.responses,
                conversation_share=share,
            )
        )
    return tuple(spans)


def _conversation_shares(wholes: Sequence[TokenSequence]) -> dict[str, float]:
    """Return the share of the first sequence's conversation before each memory's first appearance, in tokens."""
    before: dict[str, int] = {}
    conversation = 0
    for span in wholes[0].spans if wholes else ():
        if span.memory is not None:
            before.setdefault(span.memory, conversation)
        conversation += len(span.ids) * (span.section == "conversation")
    return {key: tokens / max(conversation, 1) for key, tokens in before.items()}


def _most_tokens(sequences: Sequence[TokenSequence]) -> dict[str, int]:
    most: dict[str, int] = {}
    for one in sequences:
        for key, tokens in one.memory_tokens().items():
            most[key] = max(tokens, most.get(key, 0))
    return most


def _tokens_after(sequences: Sequence[TokenSequence]) -> dict[str, int]:
    """Return, for each memory, the tokens that remain after its first appearance when it is left out."""
    after: dict[str, int] = {}
    for one in sequences:
        first: dict[str, int] = {}
        own: dict[str, int] = {}
        total = 0
        for span in one.scored_spans:
            if span.memory is not None:
                first.setdefault(span.memory, total)
                own[span.memory] = own.get(span.memory, 0) + len(span.ids)
            total += len(span.ids)
        for key, position in first.items():
            after[key] = after.get(key, 0) + total - position - own[key]
    return after
