"""Generate text token by token, in steps for the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from memscope.server.compute.kv import as_ids
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.sampling import Sampler, SamplingOptions
from memscope.server.compute.worker import Steps
from memscope.server.errors import ApiError

__all__ = ["Generated", "GeneratedToken", "generate"]


@dataclass(frozen=True)
class GeneratedToken:
    """One generated token.

    Attributes:
        token: Its id.
        logprob: log p under the model itself, before temperature and cuts, in nats.
        top: (id, log p) of the requested number of most probable tokens.
        finish: "stop" when it ends the text, "length" when it is the last one allowed, else None.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    finish: str | None


@dataclass(frozen=True)
class Generated:
    """What a finished generation cost, and the weights it came from."""

    weights: str
    cached_tokens: int
    computed_tokens: int


def generate(
    loaded: LoadedModel,
    prompt: Sequence[int],
    max_tokens: int,
    options: SamplingOptions,
    emit: Callable[[GeneratedToken], bool | None],
    *,
    top_logprobs: int = 0,
) -> Steps[Generated]:
    """Generate up to `max_tokens` tokens after `prompt`, ending early at an end-of-sequence id.

    Args:
        loaded: The model.
        prompt: At least one id.
        max_tokens: At least 1.
        options: How tokens are chosen.
        emit: Called on the worker's thread with every token; returning True ends the generation.
        top_logprobs: How many alternatives to report with every token.

    Raises:
        ApiError: The model produced NaN logits (500).
    """
    ids = as_ids(prompt)
    last = len(ids) - 1
    sampler = Sampler(options)
    work = loaded.generation_pass(ids)
    row = torch.empty(0)
    try:
        for positions, logits in work.outputs(len(ids), np.array([last])):
            if len(positions):
                row = logits[positions.tolist().index(last)]
            yield
        for made in range(1, max_tokens + 1):
            chosen = _choose(row, sampler, top_logprobs, loaded.eos_ids, last=made == max_tokens)
            if emit(chosen) or chosen.finish is not None:
                break
            yield
            row = work.append(chosen.token)
    finally:
        work.keep()
    return Generated(loaded.weights, work.cached, work.computed)


def _choose(
    row: torch.Tensor, sampler: Sampler, alternatives: int, ends: frozenset[int], *, last: bool
) -> GeneratedToken:
    logprobs = row - row.logsumexp(-1)
    if bool(logprobs.isnan().any()):
        raise ApiError(500, "the model produced invalid logits (NaN): check its weights and dtype")
    token = sampler.draw(row)
    values, ids = logprobs.topk(alternatives)
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    finish = "stop" if token in ends else "length" if last else None
    return GeneratedToken(token, float(logprobs[token]), top, finish)
