"""What counts as a log-probability, and when two of them are the same number."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterable, Sequence

from memscope.engines.base import Range
from memscope.errors import ScorerError

__all__ = ["agree", "checked_scores"]

_ABOVE_ZERO = 1e-4
"""Nats by which rounding may lift a log-probability above 0."""

_SENTINEL = -1000.0
"""Nats from which a number means "none": servers write -9999, or the lowest value of a type, where they have none."""

_LOWEST_MEAN = -200.0
"""Nats a token below which a total must hold such a number."""

_SUM_NATS = 0.01
_SUM_SHARE = 1e-4
"""By how much, and by which share of it, a total may differ from the sum of its tokens."""

_TYPICAL_NATS = 0.05
_LARGEST_NATS = 0.5
"""How far one number may move between two computations: half of them by 0.05, since another index or another
temperature moves nearly all; single ones further, since bfloat16 rounds a logit between 16 and 32 to eighths."""


def agree(pairs: Iterable[tuple[float, float]]) -> bool:
    """Whether two computations of the same log-probabilities differ by no more than noise.

    Args:
        pairs: The same number from both, in nats; at least one.
    """
    differences = [abs(one - other) for one, other in pairs]
    return max(differences) <= _LARGEST_NATS and statistics.median(differences) <= _TYPICAL_NATS


def checked_scores(
    tokens: Sequence[Sequence[float] | None], ranges: Sequence[Range], totals: Sequence[float] | None = None
) -> tuple[tuple[array[float], ...], tuple[float, ...]]:
    """Return token values and sums once they are known to be log-probabilities of these ranges.

    Args:
        tokens: For each range its token values, in nats; None where the server gives only totals.
        ranges: What was asked.
        totals: The sums the server gave; None to take the sums of the token values.

    Raises:
        ScorerError: A value is missing, not finite, above 0, or stands for "no value"; the line names the token.
    """
    if len(tokens) != len(ranges):
        raise ScorerError(f"the scorer answered {len(tokens)} ranges of {len(ranges)}")
    arrays, sums = [], []
    for n, (values, (start, end)) in enumerate(zip(tokens, ranges, strict=True)):
        if values is not None and len(values) != end - start:
            raise ScorerError(f"the scorer answered {len(values)} tokens for range [{start}, {end})")
        for position, value in enumerate(values or (), start):
            _check(value, f"token {position}")
        total = math.fsum(values or ()) if totals is None else totals[n]
        if totals is not None:
            _check_total(total, values, start, end)
        arrays.append(array("f", values or ()))
        sums.append(total)
    return tuple(arrays), tuple(sums)


def _check(value: float, place: str, lowest: float = _SENTINEL) -> None:
    if not math.isfinite(value) or value > _ABOVE_ZERO:
        raise ScorerError(f"the scorer answered a log-probability of {value} for {place}: its numbers cannot be used")
    if value <= lowest:
        raise ScorerError(f"the scorer has no log-probability for {place} (it answered {value:g})")


def _check_total(total: float, values: Sequence[float] | None, start: int, end: int) -> None:
    place = f"tokens {start} to {end - 1}"
    if values is None:
        _check(total / (end - start), f"{place} on average", _LOWEST_MEAN)
    elif abs(math.fsum(values) - total) > _SUM_NATS + _SUM_SHARE * abs(total) or not math.isfinite(total):
        raise ScorerError(f"the scorer answered a total of {total:g} for {place}, their sum is {math.fsum(values):g}")
