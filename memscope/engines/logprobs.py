"""Validate log-probabilities, and compare two computations of them."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterable, Sequence

from memscope.engines.base import Range
from memscope.errors import ScorerError

__all__ = ["agree", "checked_scores"]

_ABOVE_ZERO = 1e-4
"""Maximum value of a log-probability in nats, to allow for rounding above 0."""

_SENTINEL = -1000.0
"""Values up to this are placeholders: servers write -9999, or the lowest value of a type, for missing values."""

_LOWEST_MEAN = -200.0
"""Nats per token below which a total must include a placeholder."""

_SUM_NATS = 0.01
_SUM_SHARE = 1e-4
"""Absolute and relative tolerance between a total and the sum of its tokens."""

_TYPICAL_NATS = 0.05
_LARGEST_NATS = 0.5
"""Tolerance between two computations: half of the values within 0.05, since a wrong index or another temperature
changes nearly all; single values more, since bfloat16 rounds a logit between 16 and 32 to eighths."""


def agree(pairs: Iterable[tuple[float, float]]) -> bool:
    """Return whether two computations of the same log-probabilities agree up to noise.

    Args:
        pairs: Pairs of the same value from both, in nats; at least one.
    """
    differences = [abs(one - other) for one, other in pairs]
    return max(differences) <= _LARGEST_NATS and statistics.median(differences) <= _TYPICAL_NATS


def checked_scores(
    tokens: Sequence[Sequence[float] | None], ranges: Sequence[Range], totals: Sequence[float] | None = None
) -> tuple[tuple[array[float], ...], tuple[float, ...]]:
    """Validate token values and totals as log-probabilities of these ranges, and return them.

    Args:
        tokens: The token values of each range in nats; None if the server returns only totals.
        ranges: The requested ranges.
        totals: The totals returned by the server; None to compute them from the token values.

    Raises:
        ScorerError: A value is missing, not finite, above 0, or a placeholder; the message names the token.
    """
    if len(tokens) != len(ranges):
        raise ScorerError(f"the scorer returned {len(tokens)} of {len(ranges)} ranges")
    arrays, sums = [], []
    for n, (values, (start, end)) in enumerate(zip(tokens, ranges, strict=True)):
        if values is not None and len(values) != end - start:
            raise ScorerError(f"the scorer returned {len(values)} tokens for range [{start}, {end})")
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
        raise ScorerError(f"the scorer returned an invalid log-probability of {value} for {place}")
    if value <= lowest:
        raise ScorerError(f"the scorer has no log-probability for {place} (it returned {value:g})")


def _check_total(total: float, values: Sequence[float] | None, start: int, end: int) -> None:
    place = f"tokens {start} to {end - 1}"
    if values is None:
        _check(total / (end - start), f"{place} on average", _LOWEST_MEAN)
    elif abs(math.fsum(values) - total) > _SUM_NATS + _SUM_SHARE * abs(total) or not math.isfinite(total):
        raise ScorerError(
            f"the scorer returned a total of {total:g} for {place}, but their sum is {math.fsum(values):g}"
        )
