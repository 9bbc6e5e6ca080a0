"""The proof that training worked: the same measures before and after, on what was trained and on what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from memscope.prompt.prompt import Prompt
from memscope.scoring.rescoring import Rescorer

__all__ = ["Measured", "Proof", "measured"]

Measured: TypeAlias = dict[str, Any]
"""{"stripped": {index: nats}, "logprob": {index: nats}}, as kept in the ledger; indices are text there."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Before and after.

    Attributes:
        before: Strip-all divergence of each trained response before training, nats.
        after: The same after it.
        fall: How much of the sum of the divergences is gone, 0 to 1.
        others_moved: Mean magnitude by which the log-probability of the other responses changed with every memory
            present, nats a response.
    """

    before: Mapping[int, float]
    after: Mapping[int, float]
    fall: float
    others_moved: float

    @classmethod
    def of(cls, trained: Sequence[int], before: Measured, after: Measured) -> Proof:
        """Compare two measurements."""
        old = {index: float(before["stripped"][str(index)]) for index in trained}
        new = {index: float(after["stripped"][str(index)]) for index in trained}
        whole = sum(max(0.0, nats) for nats in old.values())
        left = sum(max(0.0, nats) for nats in new.values())
        moved = [
            abs(float(after["logprob"][index]) - float(nats))
            for index, nats in before["logprob"].items()
            if int(index) not in old and index in after["logprob"]
        ]
        fall = 1 - left / whole if whole > 0 else 0.0
        return cls(old, new, fall, sum(moved) / len(moved) if moved else 0.0)


async def measured(prompt: Prompt, rescorer: Rescorer, stripped: Mapping[int, float]) -> Measured:
    """Return what is compared: the divergences given, and every response's log-probability with all memories.

    Raises:
        ScorerError: The scorer failed.
    """
    scores = await rescorer.score(prompt.variants())
    return {
        "stripped": {str(index): nats for index, nats in stripped.items()},
        "logprob": {str(index): score.total for index, score in scores.items()},
    }
