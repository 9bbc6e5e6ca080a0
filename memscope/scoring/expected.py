"""Which memories a response is expected to depend on most, before that is measured.

A memory with measured cells is expected to have its mean |divergence| over them. One without is estimated from its
words: the share of them, weighted by how few memories have each, that the response repeats, times the largest mean
that is known. Equal expectations are ordered by recency.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from memscope.scoring.grid import Grid

__all__ = ["by_expected_effect"]

_WORD = re.compile(r"\w{3,}")
_UNKNOWN_NATS = 1.0
"""What a memory whose words are all repeated is expected to have while nothing is measured."""


def by_expected_effect(grid: Grid, response: str, keys: Iterable[str]) -> list[str]:
    """Return memories in descending order of their expected effect on a response.

    Args:
        grid: The grid, for what is measured and the texts.
        response: The response's id.
        keys: The memories to order, which the grid has.
    """
    places = {key: place for key in keys if (place := grid.layout.row_index(key)) is not None}
    means = {key: mean for key, place in places.items() if (mean := _mean_effect(grid, place)) is not None}
    top = max(means.values(), default=0.0) or _UNKNOWN_NATS
    unknown = [key for key in places if key not in means]
    shares = dict(zip(unknown, _repeated(grid, response, [places[key] for key in unknown]), strict=True))
    return sorted(places, key=lambda key: (means.get(key, top * shares.get(key, 0.0)), places[key]), reverse=True)


def _mean_effect(grid: Grid, row: int) -> float | None:
    """Return the mean |divergence| of a row's measured cells in nats; None if there are none."""
    values = grid.values[row]
    known = [abs(values[column]) for column in grid.rows[row].columns if not math.isnan(values[column])]
    return math.fsum(known) / len(known) if known else None


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


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
