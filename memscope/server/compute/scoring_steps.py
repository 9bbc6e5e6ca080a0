"""Compute log-probabilities of given tokens, in steps for the worker, forwarding only tokens that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch

from memscope.server.compute.kv import Ids, as_ids
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.network import HEAD_BLOCK
from memscope.server.compute.passes import ForwardPass
from memscope.server.compute.worker import Steps
from memscope.server.errors import ApiError

__all__ = ["PromptTokens", "RangeScores", "prompt_logprobs", "score_ranges", "token_logprobs"]

Logprobs: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True)
class RangeScores:
    """Log-probabilities of the tokens of each range, in nats, and their cost.

    Attributes:
        ranges: One float32 array per requested range, one value per token.
        weights: The fingerprint of the weights used.
        cached_tokens: Number of tokens whose keys and values were reused.
        computed_tokens: Number of tokens forwarded.
    """

    ranges: tuple[Logprobs, ...]
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
    return logits.log_softmax(-1).gather(-1, tokens.to(logits.device)[:, None])[:, 0]


def score_ranges(loaded: LoadedModel, ids: Sequence[int], ranges: Sequence[tuple[int, int]]) -> Steps[RangeScores]:
    """Score the tokens of each [start, end): log p(ids[t] | ids[:t]), with 1 <= start < end <= len(ids).

    A value depends on the ids alone, to the last bit (see `memscope.server.compute.passes`). Of a model in which it
    depends on the length of the sequence, every range is scored in the sequence that ends with it, which is what stood
    there when it was written.

    Returns:
        The scores, with the weights that `loaded` had when this began.

    Raises:
        ApiError: The model produced log-probabilities that are not finite (500).
    """
    if not ranges:
        return RangeScores((), loaded.weights, 0, 0)
    sequence = as_ids(ids)
    if loaded.path.name != "ranges":
        found, work = yield from _scored(loaded, sequence, ranges)
        values = tuple(found[start:end] for start, end in ranges)
        return RangeScores(values, loaded.weights, work.cached, work.computed)
    parts, computed = [], 0
    for start, end in ranges:
        found, work = yield from _scored(loaded, sequence[:end], [(start, end)])
        parts.append(found[start:end])
        computed += work.computed
    return RangeScores(tuple(parts), loaded.weights, 0, computed)


def _scored(loaded: LoadedModel, ids: Ids, ranges: Sequence[tuple[int, int]]) -> Steps[tuple[Logprobs, ForwardPass]]:
    """Return one log-probability a position (NaN where none was asked), and the pass that gave them."""
    scored = np.unique(np.concatenate([np.arange(start, end) for start, end in ranges]))
    work = loaded.scoring_pass(ids, first=int(scored[0]) - 1)
    targets = _targets(ids)
    found = np.full(len(targets) + 1, np.nan, dtype=np.float32)
    try:
        for positions, logits in work.outputs(_needed(loaded, ids, int(scored[-1])), scored - 1):
            if len(positions):
                found[positions.numpy() + 1] = token_logprobs(logits, targets[positions]).cpu().numpy()
            yield
    finally:
        work.keep()
    _require_finite(found[scored], scored)
    return found, work


def prompt_logprobs(loaded: LoadedModel, ids: Sequence[int]) -> Steps[PromptTokens]:
    """Compute the values of vLLM's `prompt_logprobs` for a prompt."""
    sequence = as_ids(ids)
    result = PromptTokens()
    outputs = len(sequence) - 1
    if outputs == 0:
        return result
    work = loaded.scoring_pass(sequence, first=0)
    targets = _targets(sequence)
    for positions, logits in work.outputs(_needed(loaded, sequence, outputs), np.arange(outputs)):
        if len(positions):
            _add_rows(result, logits, targets[positions].to(logits.device), int((positions < outputs).sum()))
        yield
    work.keep()
    _require_finite(np.asarray(result.logprobs), np.arange(1, len(sequence)))
    return result


def _targets(ids: Ids) -> torch.Tensor:
    """Return for every output position the id that follows, and zeros as far as a block may reach past the end."""
    return torch.from_numpy(np.pad(ids[1:], (0, 1 + HEAD_BLOCK)))


def _needed(loaded: LoadedModel, ids: Ids, end: int) -> int:
    """Return how many positions to forward for the outputs before `end`.

    Where a model sees the length of the sequence, that is the whole sequence, so that its last token counts too.
    """
    return len(ids) if loaded.path.name == "ranges" else end


def _add_rows(result: PromptTokens, logits: torch.Tensor, tokens: torch.Tensor, count: int) -> None:
    """Add the first `count` rows of a block."""
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(-1, tokens[:, None])
    best, best_ids = logprobs.max(-1)
    result.logprobs += chosen[:count, 0].tolist()
    result.ranks += (logprobs >= chosen).sum(-1)[:count].tolist()
    result.top_ids += best_ids[:count].tolist()
    result.top_logprobs += best[:count].tolist()


def _require_finite(
    values: np.ndarray[tuple[int], np.dtype[np.floating]], positions: np.ndarray[tuple[int], np.dtype[np.integer]]
) -> None:
    if not np.isfinite(values).all():
        first = int(positions[np.flatnonzero(~np.isfinite(values))[0]])
        raise ApiError(
            500,
            f"the model produced a log-probability that is not finite, first at token {first}:"
            " check its weights and dtype",
        )
