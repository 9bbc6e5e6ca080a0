"""The table of ablations: all measured log-probabilities.

Rows are ablations (which memories are left out), columns are responses, values are log-probabilities in nats. Every
measure is arithmetic over it: necessity of i is f(nothing left out) - f({i} left out), sufficiency is f(all but i left
out) - f(all left out). Rows and columns are kept by identity, so a session may grow while jobs fill the table.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

__all__ = ["ALL_LEFT_OUT", "NOTHING_LEFT_OUT", "Ablation", "AblationTable", "only", "without"]


class Ablation(msgspec.Struct, frozen=True):
    """A set of memories to leave out.

    Attributes:
        keys: Memory keys.
        inverted: Leave out all memories except these. Unlike a list of all the others, this stays the same ablation
            when a memory is added to the session.
    """

    keys: frozenset[str] = frozenset()
    inverted: bool = False

    def removed(self, memories: Iterable[str]) -> frozenset[str]:
        """Return which of a session's memories are left out."""
        return frozenset(memories) - self.keys if self.inverted else self.keys


NOTHING_LEFT_OUT = Ablation()
"""Nothing is left out: the baseline of necessity."""
ALL_LEFT_OUT = Ablation(inverted=True)
"""All memories are left out: the baseline of sufficiency."""


def without(*keys: str) -> Ablation:
    """Return the ablation that leaves out these memories."""
    return Ablation(frozenset(keys))


def only(*keys: str) -> Ablation:
    """Return the ablation that leaves out all memories except these."""
    return Ablation(frozenset(keys), inverted=True)


class AblationTable:
    """Log-probabilities of responses under ablations, in nats, for one set of weights.

    It holds measured values only. What can be inferred (a later memory changes nothing) is left to the measures.

    Attributes:
        revision: Counts the calls of `forget`; values measured for an earlier revision may be outdated.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._forgotten: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._order: list[str] = []
        self._values: dict[Ablation, array[float]] = {}

    def __len__(self) -> int:
        """Return the number of ablations with at least one value."""
        return len(self._values)

    def put(self, ablation: Ablation, values: Mapping[str, float], revision: int | None = None) -> None:
        """Store log-probabilities, replacing earlier values.

        Args:
            ablation: The ablation they were measured under.
            values: Nats by response id.
            revision: Revision of the table when they were requested; outdated values are dropped. None means now.
        """
        if revision is not None:
            values = {response: value for response, value in values.items() if self.is_valid(response, revision)}
        row = self._values.setdefault(ablation, array("d"))
        new = [response for response in values if response not in self._slots]
        self._slots |= {response: slot for slot, response in enumerate(new, len(self._slots))}
        self._order += new
        slots = [self._slots[response] for response in values]
        if (short := max(slots, default=-1) + 1 - len(row)) > 0:
            row.extend([math.nan] * short)
        for slot, value in zip(slots, values.values(), strict=True):
            row[slot] = value

    def forget(self, responses: Iterable[str]) -> None:
        """Drop all values of some responses, including those still being measured."""
        responses = tuple(responses)
        self.revision += 1
        self._forgotten |= dict.fromkeys(responses, self.revision)
        slots = [slot for response in responses if (slot := self._slots.get(response)) is not None]
        for row in self._values.values():
            for slot in slots:
                if slot < len(row):
                    row[slot] = math.nan

    def is_valid(self, response: str, revision: int) -> bool:
        """Return whether values of a response that were requested at a revision are still valid."""
        return self._forgotten.get(response, 0) <= revision

    def get(self, ablation: Ablation, response: str) -> float:
        """Return one log-probability; NaN if it was not measured."""
        return self.logprobs(ablation, (response,))[0]

    def logprobs(self, ablation: Ablation, responses: Sequence[str]) -> array[float]:
        """Return the log-probabilities of some responses, in their order; NaN if not measured."""
        known = self._values.get(ablation)
        if known is None:
            return array("d", [math.nan]) * len(responses)
        if (run := self._run_of(responses)) is not None:
            values = known[run]
            return values + array("d", [math.nan]) * (len(responses) - len(values))
        count, slots = len(known), self._slots
        places = (slots.get(response, count) for response in responses)
        return array("d", [known[place] if place < count else math.nan for place in places])

    def _run_of(self, responses: Sequence[str]) -> slice | None:
        """Return where responses stand that were first put in this order, as those of a session mostly are.

        Those at the end may be new, as while a session is followed.
        """
        first = self._slots.get(responses[0]) if responses else None
        if first is None:
            return None
        run = slice(first, first + len(responses))
        known = self._order[run]
        if known != list(responses[: len(known)]):
            return None
        return None if any(response in self._slots for response in responses[len(known) :]) else run

    def missing(self, ablation: Ablation, responses: Collection[str]) -> list[str]:
        """Return which of these responses were not measured under an ablation."""
        wanted = list(responses)
        values = self.logprobs(ablation, wanted)
        return [response for response, value in zip(wanted, values, strict=True) if math.isnan(value)]
