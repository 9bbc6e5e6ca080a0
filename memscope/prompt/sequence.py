"""Token ids as separately encoded spans, so that leaving some out does not change the others.

A span is the smallest unit that is left out or scored. A sequence of spans is one input of the model.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence

import msgspec

from memscope.session.nodes import Section

__all__ = ["Rendered", "TokenSequence", "TokenSpan", "Variant", "id_array"]


def id_array(numbers: Iterable[int] = ()) -> array[int]:
    """Return token ids as an `array("I")`."""
    return array("I", numbers)


class TokenSpan(msgspec.Struct, frozen=True):
    """Ids with the same owner.

    Attributes:
        ids: The token ids.
        section: The section of its node.
        position: The node's position within its section.
        label: Label of the node for messages: a role, or the type of a top-level leaf.
        memory: The key of the memory whose ids these are, or None.
        response: The index of the response that these ids are scored for, or None.
        last: The position of the last node that needs this span, if several nodes share one message.
    """

    ids: array[int]
    section: Section
    position: int
    label: str
    memory: str | None = None
    response: int | None = None
    last: int = -1

    def within(self, entries: range | None) -> bool:
        """Return whether the span is kept if only these positions of the conversation are."""
        if entries is None or self.section != "conversation":
            return True
        return self.position < entries.stop and max(self.position, self.last) >= entries.start


class Variant(msgspec.Struct, frozen=True):
    """One sequence to score.

    Attributes:
        ids: Token ids as an `array("I")`, ending with the last range.
        ranges: [start, end) positions in `ids`, ascending, none empty.
        owners: The response index of each range; a response with a memory inside it has several ranges.
    """

    ids: array[int]
    ranges: tuple[tuple[int, int], ...]
    owners: tuple[int, ...]


class TokenSequence:
    """One sequence of spans in prompt order."""

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
        """Indices of the responses that are scored in this sequence."""
        return self._places.keys()

    @property
    def scored_spans(self) -> Sequence[TokenSpan]:
        """The spans up to and including the last scored one."""
        return self.spans[: max((end for _, end in self._places.values()), default=0)]

    def ids(self) -> array[int]:
        """Return all ids, with nothing left out."""
        return _joined(self.spans)

    def memory_tokens(self) -> dict[str, int]:
        """Return the number of tokens of every memory over all its appearances in this sequence."""
        tokens: dict[str, int] = {}
        for span in self.spans:
            if span.memory is not None:
                tokens[span.memory] = tokens.get(span.memory, 0) + len(span.ids)
        return tokens

    def variant(
        self, without: Collection[str], responses: Collection[int] | None, entries: range | None
    ) -> Variant | None:
        """Return the variant to score; None if this sequence has none of the responses."""
        wanted = self._places.keys() if responses is None else self._places.keys() & set(responses)
        ids, ranges, owners = id_array(), [], []
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
        """Describe the first node beyond `limit` tokens; None if everything to score fits."""
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
        return f"{node}: {total:,} tokens so far, the model accepts {limit:,}"


class Rendered(msgspec.Struct, frozen=True):
    """Nodes rendered as token ids.

    Attributes:
        sequences: One sequence, or one per response if the chat template rewrites earlier turns.
        whole: In that case, all nodes as one sequence, to locate memories.
        notes: What was changed or guessed, one line each.
    """

    sequences: tuple[TokenSequence, ...]
    whole: TokenSequence | None = None
    notes: tuple[str, ...] = ()


def _joined(spans: Iterable[TokenSpan]) -> array[int]:
    ids = id_array()
    for span in spans:
        ids += span.ids
    return ids
