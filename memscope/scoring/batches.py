"""Which responses to score together, so that the scorer still holds what their rows share.

A row begins at its memory and reuses what the baseline computed before it. With many long sequences the baselines of
all of them do not fit into the scorer's prefix cache: by the time a row reaches the first sequence, it is gone. So the
sequences are scored in batches that fit, each with all its rows.
"""

from __future__ import annotations

from collections.abc import Collection

from memscope.prompt.prompt import Prompt
from memscope.scoring.layout import Layout

__all__ = ["response_batches"]

_BASELINE_SHARE = 0.25
"""Share of the prefix cache for baselines. The rest is for the rows in progress, each as long as all of them: two at a
time, and what was used least recently is dropped first."""


def response_batches(
    prompt: Prompt, layout: Layout, responses: Collection[str] | None, cache_tokens: int | None
) -> list[Collection[str] | None]:
    """Split responses into batches, newest sequences first.

    Args:
        prompt: The tokenised session.
        layout: Its rows and columns.
        responses: Response ids; None for all.
        cache_tokens: How many tokens the scorer keeps; None if it keeps none or does not say.

    Returns:
        The batches; one with `responses` itself if everything fits.
    """
    wanted = set(range(len(layout.responses)) if responses is None else layout.positions(responses))
    sequences = [one for one in prompt.sequences if not wanted.isdisjoint(one.responses)]
    limit = None if cache_tokens is None else cache_tokens * _BASELINE_SHARE
    if limit is None or sum(map(len, sequences)) <= limit:
        return [responses]
    batches: list[Collection[str] | None] = []
    batch: list[str] = []
    tokens = 0
    for one in reversed(sequences):
        if batch and tokens + len(one) > limit:
            batches.append(batch)
            batch, tokens = [], 0
        batch += [layout.responses[index] for index in one.responses if index in wanted]
        tokens += len(one)
    return [*batches, batch]
