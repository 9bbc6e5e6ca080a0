"""Choose the next token from logits: greedy, or sampled with temperature, top-k, top-p and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Sampler", "SamplingOptions"]

_GREEDY_BELOW = 1e-4
"""Dividing by less would exceed float32's range; the most probable token has all the mass by then."""


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are chosen.

    Attributes:
        temperature: 0 is greedy.
        top_p: Keep the smallest set of tokens with at least this probability; 1 keeps all.
        top_k: Keep this many most probable tokens; 0 or below keeps all.
        seed: The same seed and weights reproduce the same text; None uses a random one.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None


class Sampler:
    """Samples tokens one after another, on the CPU, so that a seed gives the same result on every device."""

    def __init__(self, options: SamplingOptions) -> None:
        self._options = options
        self._generator = torch.Generator()
        if options.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(options.seed)

    def draw(self, logits: torch.Tensor) -> int:
        """Return the next token for float32 logits (vocabulary,)."""
        options = self._options
        if options.temperature < _GREEDY_BELOW:
            return int(logits.argmax())
        scaled, ids = (logits.cpu() / options.temperature).sort(descending=True, stable=True)
        if 0 < options.top_k < len(scaled):
            scaled = scaled[: options.top_k]
        probabilities = scaled.softmax(-1)
        # A token stays when the mass before it is below top_p: so the first always stays.
        before = probabilities.cumsum(-1) - probabilities
        probabilities[before >= options.top_p] = 0.0
        return int(ids[torch.multinomial(probabilities, 1, generator=self._generator)])
