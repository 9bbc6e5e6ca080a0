"""Log-probabilities of given tokens, as steps for the worker: nothing is forwarded that no asked token rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from memscope.server.compute.kv import as_ids
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.worker import Steps
from memscope.server.errors import ApiError

__all__ = ["PromptTokens", "RangeScores", "prompt_logprobs", "score_ranges", "token_logprobs"]

_ROWS = 256
"""Rows of logits turned into log-probabilities at once, so that the float32 temporaries stay small."""


@dataclass(frozen=True)
class RangeScores:
    """Log-probabilities of the tokens of each range, in nats, and what they cost.

    Attributes:
        ranges: One array of float32 per asked range, one value a token.
        weights: The fingerprint of the weights that gave them.
        cached_tokens: Tokens whose keys and values were reused.
        computed_tokens: Tokens forwarded.
    """

    ranges: tuple[np.ndarray[tuple[int], np.dtype[np.float32]], ...]
    weights: str
    cached_tokens: int
    computed_tokens: int


@dataclass
class PromptTokens:
    """For every prompt token but the first: its log-probability and rank, and the most probable token there."""

    logprobs: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    top_ids: list[int] = field(default_factory=list)
    top_logprobs: list[float] = field(default_factory=list)


def token_logprobs(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return log p of one token per row, (rows,), for float32 logits (rows, vocabulary)."""
    parts = [
        rows.gather(-1, wanted[:, None])[:, 0] - rows.logsumexp(-1)
        for rows, wanted in zip(torch.split(logits, _ROWS), torch.split(tokens.to(logits.device), _ROWS), strict=True)
    ]
    return torch.cat(parts) if parts else logits.new_empty(0)


def score_ranges(
    loaded: LoadedModel,
    ids: Sequence[int],
    ranges: Sequence[tuple[int, int]],
    max_cached_tokens: int | None = None,
) -> Steps[RangeScores]:
    """Score the tokens of each [start, end): log p(ids[t] | ids[:t]), with 1 <= start < end <= len(ids).

    At most `max_cached_tokens` of a known prefix are reused; None sets no bound.

    Returns:
        The scores, with the weights that `loaded` had when this began.

    Raises:
        ApiError: The model gave log-probabilities that are no finite numbers (500).
    """
    if not ranges:
        return RangeScores((), loaded.weights, 0, 0)
    sequence = as_ids(ids)
    scored = np.unique(np.concatenate([np.arange(start, end) for start, end in ranges]))
    outputs = torch.from_numpy(scored) - 1
    end = int(scored[-1])
    first = int(scored[0]) - 1
    work = loaded.start(sequence, first=first if max_cached_tokens is None else min(first, max_cached_tokens), end=end)
    found = np.full(len(sequence), np.nan, dtype=np.float32)
    targets = torch.from_numpy(sequence)
    try:
        for positions, logits in work.outputs(end, outputs):
            found[positions.numpy() + 1] = token_logprobs(logits, targets[positions + 1]).cpu().numpy()
            yield
    finally:
        work.keep()
    _demand_finite(found[scored], scored)
    values = tuple(found[start:end] for start, end in ranges)
    return RangeScores(values, loaded.weights, work.cached, work.computed)


def prompt_logprobs(loaded: LoadedModel, ids: Sequence[int]) -> Steps[PromptTokens]:
    """Compute what vLLM's `prompt_logprobs` reports of a prompt; the whole prompt but its last token is forwarded."""
    sequence = as_ids(ids)
    result = PromptTokens()
    end = len(sequence) - 1
    if end == 0:
        return result
    work = loaded.start(sequence, first=0, end=end)
    targets = torch.from_numpy(sequence)
    for positions, logits in work.outputs(end, torch.arange(end)):
        for rows, wanted in zip(torch.split(logits, _ROWS), torch.split(targets[positions + 1], _ROWS), strict=True):
            _add_rows(result, rows, wanted.to(rows.device))
        yield
    work.keep()
    _demand_finite(np.asarray(result.logprobs), np.arange(1, len(sequence)))
    return result


def _add_rows(result: PromptTokens, logits: torch.Tensor, tokens: torch.Tensor) -> None:
    total = logits.logsumexp(-1)
    chosen = logits.gather(-1, tokens[:, None])
    best, best_ids = logits.max(-1)
    result.logprobs += (chosen[:, 0] - total).tolist()
    result.ranks += (logits >= chosen).sum(-1).tolist()
    result.top_ids += best_ids.tolist()
    result.top_logprobs += (best - total).tolist()


def _demand_finite(
    values: np.ndarray[tuple[int], np.dtype[np.floating]], positions: np.ndarray[tuple[int], np.dtype[np.integer]]
) -> None:
    if not np.isfinite(values).all():
        first = int(positions[np.flatnonzero(~np.isfinite(values))[0]])
        raise ApiError(
            500,
            f"the model gave a log-probability that is not a finite number, first at token {first}:"
            " its weights or its dtype are at fault",
        )
