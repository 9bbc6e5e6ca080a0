"""Question the model: did it write the responses that it scores?

A model expects its own text: the mean log-probability of a token is rarely below −2 nats, also when it was sampled. A
text that the model would never write has −5 and less. Divergences are computed all the same, but they tell little about
the model that did write it.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from memscope.scoring.grid import Grid
from memscope.scoring.layout import Column, Layout
from memscope.terminal.counts import counted

__all__ = ["LEAST_EXPECTED", "answered_by_another", "doubt", "is_same_model", "mean_logprob"]

LEAST_EXPECTED = -4.0
"""Below this mean log-probability, in nats per token, a model hardly expects a response."""

_MOST = 0.5
"""The share of the responses above which the model as a whole is questioned."""

_NAMED = 3
_PUNCTUATION = re.compile(r"[^a-z0-9]")


def mean_logprob(grid: Grid, column: Column) -> float:
    """Return the log-probability of a response with all memories, in nats per token; NaN if it was not scored."""
    return grid.logprob[column.index] / column.tokens if column.tokens else math.nan


def doubt(grid: Grid) -> str | None:
    """Return one line that questions the model if it hardly expects most of the responses scored so far."""
    means = [mean for column in grid.columns if not math.isnan(mean := mean_logprob(grid, column))]
    unexpected = [mean for mean in means if mean < LEAST_EXPECTED]
    if len(unexpected) <= _MOST * len(means):
        return None
    return (
        f"this model hardly expects these answers: was it the one that wrote them? {len(unexpected)} of "
        f"{counted(len(means), 'response')} below {LEAST_EXPECTED:g} nats per token, "
        f"{math.fsum(means) / len(means):.1f} in the mean; choose another one with --model or --url"
    )


def answered_by_another(layout: Layout, scorer: str) -> str | None:
    """Return one line that names the models that answered, if any is not the one that scores.

    Args:
        layout: The responses.
        scorer: The name of the model that scores.
    """
    models = Counter(column.model for column in layout.columns if column.model)
    others = [model for model, _ in models.most_common() if not is_same_model(model, scorer)]
    if not others:
        return None
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return f"answered by {', '.join(others[:_NAMED])}{more}, scored by {scorer}"


def is_same_model(one: str, other: str) -> bool:
    """Return whether two names mean the same model: organisation, case and punctuation are not compared."""
    return _base_name(one) == _base_name(other)


def _base_name(name: str) -> str:
    return _PUNCTUATION.sub("", name.rstrip("/").rsplit("/", 1)[-1].lower())
