"""Map nats to the few levels that a cell can show.

Every value is first quantised to a *fine* byte with four steps per octave, independent of the scale. A scale is a table
of 256 bytes from fine bytes to cell codes, so that `bytes.translate` re-quantises two million cells in milliseconds.
Codes are ordered by importance: a block is represented by its maximum code.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from math import ceil, isnan, log1p
from typing import Literal, TypeAlias

import msgspec

from memscope.scoring.grid import SET_ABOVE

__all__ = [
    "ABSENT",
    "CODES",
    "FAILED",
    "LEVELS",
    "UNSCORED",
    "ZERO",
    "Mode",
    "Scale",
    "fine_bytes",
    "level_code",
    "next_mode",
    "nice_limit",
]

Mode: TypeAlias = Literal["linear", "symlog", "rank"]
_MODES: tuple[Mode, ...] = ("symlog", "linear", "rank")

LEVELS = 9
"""Number of levels of a colour map, excluding zero."""

ABSENT, ZERO, UNSCORED, FAILED = range(4)
"""Codes of cells without a level; ABSENT marks a response before the memory, which is exactly zero by causality."""

CODES = 4 + 2 * LEVELS

_STEPS_PER_OCTAVE = 4
_LOWEST_EXPONENT = -17
_BUCKETS = 125
_FINE_UNSCORED, _FINE_ZERO, _FINE_UP, _FINE_DOWN = 0, 1, 2, 2 + _BUCKETS
_FINE_FAILED, _FINE_ABSENT = 252, 253
_SYMLOG_KNEE = 0.1


def level_code(level: int) -> int:
    """Return the code of a signed level: 1 to 9 positive, -1 to -9 negative, 0 zero."""
    if level == 0:
        return ZERO
    return 2 + 2 * abs(level) + (level > 0)


def _fine_table() -> bytes:
    """Map the top 16 bits of a float64 (sign, exponent, 4 bits of mantissa) to fine bytes."""
    below = bytes([_FINE_ZERO]) * ((1023 + _LOWEST_EXPONENT) << 4)
    not_numbers = bytes([_FINE_UNSCORED]) * (0x8000 - 0x7FF1)
    halves = []
    for first in (_FINE_UP, _FINE_DOWN):
        inside = b"".join(bytes([first + bucket]) * (16 // _STEPS_PER_OCTAVE) for bucket in range(_BUCKETS))
        above = bytes([first + _BUCKETS - 1]) * (0x7FF1 - len(below) - len(inside))
        halves.append(below + inside + above + not_numbers)
    return b"".join(halves)


_FINE = _fine_table()
_TOP = 3 if sys.byteorder == "little" else 0
_UNSCORED_IS_FAILED = bytes([_FINE_FAILED, *range(1, 256)])


def fine_bytes(values: array[float], columns: Sequence[int], *, failed: bool) -> bytes:
    """Quantise a row of signed nats; NaN is *not scored*, or *failed* when the row failed.

    Args:
        values: Signed nats.
        columns: Ascending positions of the responses that the memory can affect.
        failed: Whether the row failed.
    """
    top = memoryview(values).cast("B").cast("H")[_TOP::4]
    fine = bytearray([_FINE_ABSENT]) * len(values)
    if isinstance(columns, range):
        fine[columns.start : columns.stop] = bytes(map(_FINE.__getitem__, top[columns.start : columns.stop]))
    else:
        for column in columns:
            fine[column] = _FINE[top[column]]
    return bytes(fine.translate(_UNSCORED_IS_FAILED) if failed else fine)


def _bucket_nats(bucket: int) -> float:
    octave, step = divmod(bucket, _STEPS_PER_OCTAVE)
    low: float = 2.0 ** (octave + _LOWEST_EXPONENT)
    return low * (1 + (step + 0.5) / _STEPS_PER_OCTAVE)


_NATS = [_bucket_nats(bucket) for bucket in range(_BUCKETS)]


def nice_limit(maximum: float) -> float:
    """Round a maximum up to 1, 2 or 5 times a power of ten, at least 0.1 nats."""
    step = 0.1
    while True:
        for factor in (1, 2, 5):
            if maximum <= step * factor * 1.0001 or isnan(maximum):
                return round(step * factor, 6)
        step *= 10


class Scale(msgspec.Struct, frozen=True):
    """A mapping from nats to levels.

    Attributes:
        mode: "linear" and "symlog" distribute the levels between 0 and the limit, "rank" over the set cells.
        limit: Nats of the highest level; larger values are clipped to it.
        signed: Show negative values with their own levels; otherwise they are clamped to zero.
        floor: The noise floor; differences up to it, or below what counts as set, are zero.
    """

    mode: Mode = "symlog"
    limit: float = 10.0
    signed: bool = False
    floor: float = 0.0

    def table(self, histogram: Sequence[int] = ()) -> bytes:
        """Return the table from fine bytes to codes; only "rank" needs the histogram of the 256 fine bytes."""
        table = bytearray([ZERO]) * 256
        table[_FINE_UNSCORED], table[_FINE_FAILED], table[_FINE_ABSENT] = UNSCORED, FAILED, ABSENT
        levels = self._levels(histogram)
        for bucket, level in enumerate(levels):
            table[_FINE_UP + bucket] = level_code(level)
            table[_FINE_DOWN + bucket] = level_code(-level if self.signed else 0)
        return bytes(table)

    def _levels(self, histogram: Sequence[int]) -> list[int]:
        if self.mode == "rank":
            return self._ranks(histogram)
        return [self._level(nats) if nats > self._zero else 0 for nats in _NATS]

    @property
    def _zero(self) -> float:
        """Number of nats up to which a cell is shown as zero."""
        return max(self.floor, SET_ABOVE)

    def _level(self, nats: float) -> int:
        if self.mode == "linear":
            share = nats / self.limit
        else:
            share = log1p(nats / _SYMLOG_KNEE) / log1p(self.limit / _SYMLOG_KNEE)
        return min(LEVELS, max(1, ceil(share * LEVELS)))

    def _ranks(self, histogram: Sequence[int]) -> list[int]:
        counts = list(histogram[_FINE_UP : _FINE_UP + _BUCKETS]) or [0] * _BUCKETS
        counts = [count if nats > self._zero else 0 for nats, count in zip(_NATS, counts, strict=True)]
        total, below, levels = sum(counts), 0, []
        for nats, count in zip(_NATS, counts, strict=True):
            below += count
            share = below / total if total else 0.0
            levels.append(max(1, ceil(share * LEVELS)) if nats > self._zero else 0)
        return levels

    def clips(self, maximum: float) -> bool:
        """Return whether a maximum exceeds the limit, so that the largest cells look alike."""
        return self.mode != "rank" and maximum > self.limit

    def with_mode(self, mode: Mode) -> Scale:
        """Return the same scale in another mode."""
        return msgspec.structs.replace(self, mode=mode)


def next_mode(mode: Mode) -> Mode:
    """Return the next mode in the cycle."""
    return _MODES[(_MODES.index(mode) + 1) % len(_MODES)]
