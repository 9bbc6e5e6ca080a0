"""Float32 matrix products on a CPU with oneDNN, if it is faster than torch's BLAS.

On AMD processors torch's MKL runs at less than half the speed of oneDNN. The operator is private to torch, so it is
used only where it exists, where a measurement of some milliseconds says that it pays, and where the self check on the
loaded model passes (`memscope.server.compute.paths`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

__all__ = ["accelerate", "is_faster", "product", "restore", "usable"]

_MARGIN = 1.15
_TRIES = 8


def product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return `rows @ weight.T + bias` by oneDNN; `weight` is (outputs, inputs) or the transpose of such a matrix."""
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return result


def usable(model: torch.nn.Module) -> bool:
    """Return whether the operator exists and supports this model: float32 on a CPU."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    try:
        product(torch.zeros(1, 16), torch.zeros(16, 16))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return True


def is_faster() -> bool:
    """Measure whether `product` is faster than torch's own on this machine; requires that it is usable."""
    rows, matrix = torch.rand(512, 256), torch.rand(768, 256)
    ours = _best_seconds(lambda: product(rows, matrix))
    return ours * _MARGIN < _best_seconds(lambda: torch.nn.functional.linear(rows, matrix))


def _best_seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(_TRIES))


class _FastLinear(torch.nn.Linear):
    """A linear layer that computes with `product`, unless gradients are needed, which it does not support."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # the base class's name
        if torch.is_inference_mode_enabled():
            return product(input, self.weight, self.bias)
        return super().forward(input)


def accelerate(model: torch.nn.Module) -> None:
    """Make every linear layer of the model compute with `product`. Parameters and names do not change."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = _FastLinear


def restore(model: torch.nn.Module) -> None:
    """Undo `accelerate`."""
    for module in model.modules():
        if type(module) is _FastLinear:
            module.__class__ = torch.nn.Linear  # type: ignore[assignment]
