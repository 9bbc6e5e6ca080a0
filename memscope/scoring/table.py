"""The table of ablations: everything that is measured, before any of it means something.

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
    """A set of memories that is left out.

    Attributes:
        keys: Memory keys.
        inverted: Leave out all memories but these. Said this way, and not as the list of the others, it stays the same
            ablation when the session grows by a memory.
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
    """Return the ablation that leaves out all memories but these."""
    return Ablation(frozenset(keys), inverted=True)


class AblationTable:
    """Log-probabilities of responses under ablations, in nats, by one set of weights.

    Values are measured ones. What follows from them (a memory that comes later changes nothing) is for the measures
    to know, not for the table.

    Attributes:
        edition: How often something was forgotten; what was measured of a response in an earlier edition may not hold.
    """

    def __init__(self) -> None:
        self.edition = 0
        self._forgotten: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        self._values: dict[Ablation, array[float]] = {}

    def __len__(self) -> int:
        """Return the number of ablations of which something is known."""
        return len(self._values)

    def put(self, ablation: Ablation, values: Mapping[str, float], edition: int | None = None) -> None:
        """Keep log-probabilities; the newest value of a cell counts.

        Args:
            ablation: What was left out.
            values: Nats by response id.
            edition: The table's edition when they were asked for; what no longer holds is not kept. None is now.
        """
        if edition is not None:
            values = {response: value for response, value in values.items() if self.holds(response, edition)}
        row = self._values.setdefault(ablation, array("d"))
        slots = [self._slots.setdefault(response, len(self._slots)) for response in values]
        if (short := max(slots, default=-1) + 1 - len(row)) > 0:
            row.extend([math.nan] * short)
        for slot, value in zip(slots, values.values(), strict=True):
            row[slot] = value

    def forget(self, responses: Iterable[str]) -> None:
        """Forget whatever is known of some responses, and what is still being measured of them."""
        responses = tuple(responses)
        self.edition += 1
        self._forgotten |= dict.fromkeys(responses, self.edition)
        slots = [slot for response in responses if (slot := self._slots.get(response)) is not None]
        for row in self._values.values():
            for slot in slots:
                if slot < len(row):
                    row[slot] = math.nan

    def holds(self, response: str, edition: int) -> bool:
        """Whether what was measured of a response in an edition still holds."""
        return self._forgotten.get(response, 0) <= edition

    def get(self, ablation: Ablation, response: str) -> float:
        """Return one log-probability; NaN where it was not measured."""
        return self.logprobs(ablation, (response,))[0]

    def logprobs(self, ablation: Ablation, responses: Sequence[str]) -> array[float]:
        """Return the log-probabilities of some responses in their order; NaN where not measured."""
        known = self._values.get(ablation)
        if known is None:
            return array("d", [math.nan]) * len(responses)
        count, slots = len(known), self._slots
        places = (slots.get(response, count) for response in responses)
        return array("d", [known[place] if place < count else math.nan for place in places])

    def missing(self, ablation: Ablation, responses: Collection[str]) -> list[str]:
        """Return those of some responses that were not measured under an ablation."""
        wanted = list(responses)
        values = self.logprobs(ablation, wanted)
        return [response for response, value in zip(wanted, values, strict=True) if math.isnan(value)]
