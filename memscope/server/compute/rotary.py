"""Rotary embeddings that depend on the length of the whole sequence, and their state.

Types "dynamic" and "longrope" choose their frequencies by the longest position of a forward, and the modules store the
choice. Beyond the original length, the same token then has another probability in a longer sequence, and results for
one length cannot be reused for another.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

__all__ = ["RotaryState", "length_dependent_types"]


def length_dependent_types(model: PreTrainedModel, max_tokens: int | None) -> list[str]:
    """Return the types of rotary embeddings that depend on the length of sequences up to `max_tokens`, sorted."""
    config = model.config.get_text_config(decoder=True)
    parameters = getattr(config, "rope_parameters", None) or {}
    # One set for all layers, or one for each kind of layer.
    sets = [parameters, *(nested for nested in parameters.values() if isinstance(nested, dict))]
    found = set()
    for given in sets:
        own = getattr(config, "max_position_embeddings", None)
        fixed_up_to = {"dynamic": own, "longrope": given.get("original_max_position_embeddings", own)}
        kind = str(given.get("rope_type"))
        if kind in fixed_up_to and (max_tokens is None or max_tokens > (fixed_up_to[kind] or 0)):
            found.add(kind)
    return sorted(found)


class RotaryState:
    """The state of the rotary modules of a model before its first forward."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._held = {name: _copied(_state(module)) for name, module in _rotary_modules(model)}

    def restore(self, model: PreTrainedModel) -> None:
        """Restore the state of the rotary modules in this or another model of the same architecture."""
        for name, module in _rotary_modules(model):
            held = self._held.get(name, {})
            for key in _state(module).keys() - held.keys():
                delattr(module, key)
            for key, value in _copied(held).items():
                setattr(module, key, value)


def _rotary_modules(model: PreTrainedModel) -> list[tuple[str, torch.nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "rope_type")]


def _state(module: torch.nn.Module) -> dict[str, Any]:
    plain = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, int | float | torch.Tensor) and not isinstance(value, bool)
    }
    return plain | dict(module.named_buffers(recurse=False))


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in state.items()}
