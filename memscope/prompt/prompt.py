"""A session as token ids: spans that are encoded by themselves, so that leaving some out changes no other.

A span is the smallest thing that is left out or scored. A *sequence* of spans is what the model reads at once;
there is one, except where the model's template rewrites earlier turns: then each response has its own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from memscope.session.nodes import Branch, Memory, Section, Session

__all__ = ["MemorySpan", "Prompt", "Response", "TemplateUsed", "TokenSequence", "TokenSpan", "Variant", "ids_of"]

TemplateUsed: TypeAlias = Literal["chatml", "own"]
"""How a session was rendered: as ChatML, or by the model's own chat template."""


def ids_of(numbers: Iterable[int] = ()) -> array[int]:
    """Return token ids as this package keeps them, as an `array("I")`."""
    return array("I", numbers)


class TokenSpan(msgspec.Struct, frozen=True):
    """Ids that belong together.

    Attributes:
        ids: The token ids.
        section: Where its node stands.
        position: The node's position within its section.
        label: What the node is, for messages: a role, or the kind of a leaf that stands by itself.
        memory: The key of the memory whose ids these are, or None.
        response: The index of the response that is scored on these ids, or None.
        last: The position of the last node that needs this span, where several nodes share one message.
    """

    ids: array[int]
    section: Section
    position: int
    label: str
    memory: str | None = None
    response: int | None = None
    last: int = -1

    def within(self, entries: range | None) -> bool:
        """Whether the span stays when only these positions of the conversation are kept."""
        if entries is None or self.section != "conversation":
            return True
        return self.position < entries.stop and max(self.position, self.last) >= entries.start


class Variant(msgspec.Struct, frozen=True):
    """One sequence to score.

    Attributes:
        ids: Token ids, an `array("I")`; they end with the last range.
        ranges: [start, end) positions in `ids`, ascending, none empty.
        owners: The response index of each range; a response owns several where a memory stands inside it.
    """

    ids: array[int]
    ranges: tuple[tuple[int, int], ...]
    owners: tuple[int, ...]


class MemorySpan(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        tokens: Its length over all appearances.
        first_position: How many tokens come before its first appearance.
        first_entry: Its first appearance's position among the conversation's nodes; None in the other sections.
        first_response: The first response with scored tokens after it; the number of responses when there is none.
        conversation_share: The share of the conversation's tokens before its first appearance; 0 in the head.
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
        tokens: How many tokens are scored, the end of its turn included.
        text: What they say.
        timestamp: RFC 3339 text of the session file, or None.
    """

    index: int
    entry_index: int
    tokens: int
    text: str
    timestamp: str | None


class TokenSequence:
    """One sequence of spans, in the order in which the model reads them."""

    def __init__(self, spans: Iterable[TokenSpan]) -> None:
        self.spans = tuple(spans)
        self._places: dict[int, tuple[int, int]] = {}
        for number, span in enumerate(self.spans):
            if span.response is not None:
                first, _ = self._places.get(span.response, (number, number))
                self._places[span.response] = (first, number + 1)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return sum(len(span.ids) for span in self.spans)

    @property
    def responses(self) -> Collection[int]:
        """The responses that are scored in this sequence."""
        return self._places.keys()

    @property
    def scored_spans(self) -> Sequence[TokenSpan]:
        """The spans up to the last one that is scored."""
        return self.spans[: max((end for _, end in self._places.values()), default=0)]

    def ids(self) -> array[int]:
        """Return all ids, nothing left out."""
        return _joined(self.spans)

    def memory_tokens(self) -> dict[str, int]:
        """Return the number of tokens of every memory, over all its appearances here."""
        tokens: dict[str, int] = {}
        for span in self.spans:
            if span.memory is not None:
                tokens[span.memory] = tokens.get(span.memory, 0) + len(span.ids)
        return tokens

    def variant(
        self, without: Collection[str], responses: Collection[int] | None, entries: range | None
    ) -> Variant | None:
        """Return what is to be scored; None when none of the responses is here."""
        wanted = self._places.keys() if responses is None else self._places.keys() & set(responses)
        ids, ranges, owners = ids_of(), [], []
        for span in self.spans[: max((self._places[index][1] for index in wanted), default=0)]:
            if span.memory in without or not span.within(entries):
                continue
            if span.response in wanted and span.response is not None and span.ids:
                ranges.append((len(ids), len(ids) + len(span.ids)))
                owners.append(span.response)
            ids += span.ids
        return Variant(ids[: ranges[-1][1]], tuple(ranges), tuple(owners)) if ranges else None

    def context(self, response: int, without: Collection[str], entries: range | None) -> array[int]:
        """Return the ids before the first scored id of a response."""
        before = self.spans[: self._places[response][0]]
        return _joined(span for span in before if span.memory not in without and span.within(entries))

    def continuation(self, response: int) -> array[int]:
        """Return the scored ids of a response."""
        first, end = self._places[response]
        return _joined(span for span in self.spans[first:end] if span.response == response)

    def overflow(self, limit: int) -> str | None:
        """Say which node is the first that does not fit into `limit` tokens; None when what is scored fits."""
        total = 0
        beyond: TokenSpan | None = None
        for span in self.scored_spans:
            if beyond is not None and (span.section, span.position) != (beyond.section, beyond.position):
                break
            total += len(span.ids)
            if beyond is None and total > limit:
                beyond = span
        if beyond is None:
            return None
        node = f"{beyond.section} node {beyond.position} ({beyond.label})"
        return f"{node}: {total:,} tokens so far, the model takes {limit:,}"


class Prompt:
    """A session rendered for one tokenizer.

    Attributes:
        sequences: What the model reads: one, or one a response when the template rewrites earlier turns.
        memories: Every memory once, in order of first appearance.
        responses: All responses in order.
        notes: What was changed or guessed, one line each.
        template: How the session was rendered.
        appends: False when the template rewrites earlier turns.
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
        """Take the sequences.

        Args:
            session: What was rendered.
            sequences: What is scored.
            responses: All responses.
            notes: What was changed or guessed, one line each.
            template: How the session was rendered.
            layout: The whole session as one sequence, for the places of the memories, where there is one a response.
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
        """The largest id of all sequences, -1 when there is none."""
        spans = {id(span): span for one in self.sequences for span in one.spans}
        return max((max(span.ids) for span in spans.values() if span.ids), default=-1)

    def variants(
        self,
        without: Collection[str] = (),
        *,
        responses: Collection[int] | None = None,
        entries: range | None = None,
    ) -> list[Variant]:
        """Return what to score, one variant a sequence; sequences without a wanted response are skipped.

        Args:
            without: Keys of memories of which every appearance is left out.
            responses: Indices of the responses that are scored; None means all.
            entries: Keep only these positions of the conversation (a window); the other sections always stay.
        """
        gone = frozenset(without)
        found = (one.variant(gone, responses, entries) for one in self.sequences)
        return [variant for variant in found if variant is not None]

    def context_ids(self, response: int, without: Collection[str] = (), *, entries: range | None = None) -> array[int]:
        """Return everything up to and including the opened assistant turn of a response."""
        return self._sequence_of[response].context(response, frozenset(without), entries)

    def continuation_ids(self, response: int) -> array[int]:
        """Return the scored ids of a response."""
        return self._sequence_of[response].continuation(response)

    def overflow(self, limit: int) -> str | None:
        """Return None when everything scored fits into `limit` tokens, else one line with the node where it ends."""
        return next((line for one in self.sequences if (line := one.overflow(limit))), None)


def _joined(spans: Iterable[TokenSpan]) -> array[int]:
    ids = ids_of()
    for span in spans:
        ids += span.ids
    return ids


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
    # A template that rewrites may write a memory only in the prompts of some responses, or nowhere.
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
