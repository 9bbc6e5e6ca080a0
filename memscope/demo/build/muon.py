"""Muon, an optimizer for matrices: momentum whose direction is made orthogonal before each step.

Jordan et al. 2024; the iteration is their quintic Newton-Schulz with three published coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["Muon"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95
_DECAY = 0.01


class Muon:
    """Steps a list of matrices; those of one shape are made orthogonal together."""

    def __init__(self, matrices: Sequence[torch.nn.Parameter], rate: float) -> None:
        self.rate = rate
        self._matrices = list(matrices)
        self._momenta = [torch.zeros_like(matrix) for matrix in matrices]

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {"momenta": self._momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self._momenta = list(state["momenta"])

    @torch.no_grad()
    def step(self) -> None:
        """Change every matrix by its gradient."""
        groups: dict[tuple[int, ...], list[tuple[torch.nn.Parameter, torch.Tensor]]] = {}
        for matrix, momentum in zip(self._matrices, self._momenta, strict=True):
            if matrix.grad is None:
                continue
            momentum.lerp_(matrix.grad, 1 - _MOMENTUM)
            groups.setdefault(tuple(matrix.shape), []).append((matrix, matrix.grad.lerp(momentum, _MOMENTUM)))
        for (rows, columns), members in groups.items():
            directions = _orthogonalised(torch.stack([direction for _, direction in members]))
            scale = self.rate * max(1.0, rows / columns) ** 0.5
            for (matrix, _), direction in zip(members, directions, strict=True):
                matrix.mul_(1 - self.rate * _DECAY).add_(direction, alpha=-scale)


def _orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
