"""The memories x responses grid: what is known of every cell, and the sums over rows and columns.

Values are signed divergences in nats, row-major, one `array("d")` a row; NaN stands for *not scored*. A cell
whose response comes before the memory is exactly 0 from the start: nothing before a memory can depend on it.
"""

from __future__ import annotations

import math
from array import array
from typing import Literal, TypeAlias

import msgspec

from memscope.session.nodes import Section

__all__ = ["SET_ABOVE", "Column", "Grid", "Measure", "Row", "RowStatus"]

RowStatus: TypeAlias = Literal["waiting", "running", "done", "failed"]
Measure: TypeAlias = Literal["necessity", "sufficiency"]

SET_ABOVE = 0.01
"""A cell counts as *set* when its divergence is above this many nats."""


class Row(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        text: The text of its first appearance.
        appearances: How many times it appears.
        tokens: Its length over all appearances, in tokens; None until a tokenizer is known.
        first_column: Index of the first response that comes after its first appearance (may equal the number
            of responses: then no response can depend on it).
    """

    key: str
    section: Section
    text: str
    appearances: int
    first_column: int
    tokens: int | None = None


class Column(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        index: Its index in the matrix.
        entry_index: Its position among the conversation's nodes.
        text: What was scored, as text.
        preview: The same on one line.
        timestamp: RFC 3339 text of the session file, or None.
        tokens: Number of scored tokens, its closing marker included; None until a tokenizer is known.
    """

    index: int
    entry_index: int
    text: str
    preview: str
    timestamp: str | None
    tokens: int | None = None


class Grid:
    """The numbers of one measure over one session; filled row by row.

    Attributes:
        rows: The memories in order of first appearance.
        columns: The responses in order.
        values: `values[i][j]`, signed nats; NaN where not scored.
        status: One status a row.
        errors: For failed rows, the error's line.
        logprob: Log-probability of each response with every memory present, in nats; NaN until scored.
        stripped: Divergence of each response with all memories left out, signed nats; NaN until scored.
        noise_floor: Differences at or below this many nats cannot be told from zero; None until measured.
    """

    __slots__ = ("columns", "errors", "logprob", "noise_floor", "rows", "status", "stripped", "values")

    def __init__(self, rows: tuple[Row, ...], columns: tuple[Column, ...]) -> None:
        self.rows, self.columns = rows, columns
        self.values: list[array[float]]
        self.status: list[RowStatus]
        self.errors: dict[int, str]
        self.logprob: array[float]
        self.stripped: array[float]
        self.noise_floor: float | None
        self.clear()

    def clear(self) -> None:
        """Forget every value."""
        unknown = array("d", [math.nan]) * len(self.columns)
        self.values = [self._unscored(row) for row in self.rows]
        self.status = ["waiting"] * len(self.rows)
        self.errors = {}
        self.logprob, self.stripped = unknown[:], unknown[:]
        self.noise_floor = None

    @property
    def blank(self) -> bool:
        """Whether nothing was scored."""
        return set(self.status) <= {"waiting"} and all(map(math.isnan, self.stripped))

    def reshape(self, rows: tuple[Row, ...], columns: tuple[Column, ...]) -> None:
        """Take rows and columns as they are known better now, and forget every value."""
        self.rows, self.columns = rows, columns
        self.clear()

    def _unscored(self, row: Row) -> array[float]:
        scored = len(self.columns) - row.first_column
        return array("d", [0.0]) * row.first_column + array("d", [math.nan]) * scored

    def set_row(self, index: int, values: array[float]) -> None:
        """Take a finished row; NaN cells stay *not scored*."""
        self.values[index] = values
        self.status[index] = "done"
        self.errors.pop(index, None)

    def fail_row(self, index: int, error: str) -> None:
        """Mark a row failed; what was known of it stays."""
        self.status[index] = "failed"
        self.errors[index] = error

    def reset_row(self, index: int) -> None:
        """Forget a row's values."""
        self.values[index] = self._unscored(self.rows[index])
        self.status[index] = "waiting"
        self.errors.pop(index, None)

    def parts(self, index: int) -> list[float]:
        """Return what each cell of a row adds to sums, in nats: its clamped divergence, nothing where not scored."""
        return _clamped(self.values[index])

    def stripped_parts(self) -> list[float]:
        """Return what each response adds to the sum of the line of all memories left out, in nats."""
        return _clamped(self.stripped)

    def importance(self, index: int) -> float:
        """Row sum of the clamped divergences, in nats, over the cells that are scored."""
        return math.fsum(self.parts(index))

    def dependence(self, column: int) -> float:
        """Column sum of the clamped divergences, in nats, over the cells that are scored."""
        return math.fsum(row[column] for row in self.values if row[column] > 0)

    def maximum(self, index: int) -> float:
        """Largest divergence of a row, in nats; 0 when nothing is above 0."""
        return max((v for v in self.values[index] if v > 0), default=0.0)

    def cells_set(self, index: int) -> int:
        """How many cells of a row are above `SET_ABOVE`."""
        return sum(1 for v in self.values[index] if v > SET_ABOVE)

    def scored(self, index: int, column: int) -> bool:
        """Whether a cell holds a value."""
        return not math.isnan(self.values[index][column])


def _clamped(values: array[float]) -> list[float]:
    return [value if value > 0 else 0.0 for value in values]  # a comparison with NaN is false
