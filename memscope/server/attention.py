"""Lower-right-causal attention: a suffix attends to its cached prefix and, causally, to itself, with no mask.

The stock path builds a dense mask whenever there are fewer queries than keys, computes the masked triangle and repeats
the key/value heads. Here the prefix part (no mask needed) and the suffix part (square and causal) run as two calls of
the CPU flash kernel, and are merged exactly by their log-sum-exp. The kernel is a private operator of torch, so it is
used only where it exists *and* a self check on the loaded model passes (`memscope.server.paths`).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

__all__ = ["LOWER_RIGHT", "available", "lower_right_attention", "register"]

LOWER_RIGHT = "memscope_lower_right"
"""The name under which transformers finds this attention. It has no mask function, so no mask is ever built."""

_BLOCK = 128
"""Queries a block: the kernel computes the whole square of a causal block, so a small one wastes little."""

_OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"


def available(device: torch.device) -> bool:
    """Say whether this torch has the operator and the model runs where it works."""
    return device.type == "cpu" and hasattr(torch.ops.aten, _OPERATOR)


def register() -> None:
    """Make the attention known to transformers; doing it twice is harmless."""
    AttentionInterface.register(LOWER_RIGHT, lower_right_attention)


def lower_right_attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with the last `S` of `K` positions as queries.

    Args:
        _module: The attention layer; part of the interface.
        query: (1, heads, S, head_dim).
        key: (1, kv_heads, K, head_dim), K >= S; need not be contiguous.
        value: As `key`.
        attention_mask: Must be None.
        scaling: The factor on the scores; 1 / sqrt(head_dim) when None.

    Returns:
        (1, S, heads, head_dim) and no weights.

    Raises:
        ValueError: A mask was given: this model does more than plain causal attention.
    """
    if attention_mask is not None:
        raise ValueError("lower-right attention takes no mask")
    batch, heads, suffix, _width = query.shape
    past = key.shape[2] - suffix
    output = query.new_empty(batch, suffix, heads, value.shape[-1])
    for start in range(0, suffix, _BLOCK):
        stop = min(start + _BLOCK, suffix)
        block = query[:, :, start:stop]
        output[:, start:stop] = _block(block, key, value, past + start, scaling).transpose(1, 2)
    return output, None


def _block(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, past: int, scaling: float | None
) -> torch.Tensor:
    end = past + query.shape[2]
    if end - past == 1:
        return _prefix_part(query, key[:, :, :end], value[:, :, :end], scaling)[0]
    causal = _causal_part(query, key[:, :, past:end], value[:, :, past:end], scaling)
    if past == 0:
        return causal[0]
    return _merge(*_prefix_part(query, key[:, :, :past], value[:, :, :past], scaling), *causal)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    operator = getattr(torch.ops.aten, _OPERATOR)
    output, logsumexp = operator(query, key, value, 0.0, causal, scale=scaling)
    return output, logsumexp


def _prefix_part(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    # Without causality the order of the queries is free: the heads that share a key/value head become one long list of
    # queries, and no key is repeated.
    batch, heads, suffix, width = query.shape
    kv_heads = key.shape[1]
    folded = query.reshape(batch, kv_heads, heads // kv_heads * suffix, width)
    output, logsumexp = _flash(folded, key, value, False, scaling)
    return output.reshape(batch, heads, suffix, -1), logsumexp.reshape(batch, heads, suffix)


def _causal_part(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    return _flash(query, key, value, True, scaling)


def _merge(
    left: torch.Tensor, left_logsumexp: torch.Tensor, right: torch.Tensor, right_logsumexp: torch.Tensor
) -> torch.Tensor:
    # softmax over the union = both parts weighted by their share of the total mass.
    share = torch.sigmoid(right_logsumexp - left_logsumexp).unsqueeze(-1).to(left.dtype)
    return torch.lerp(left, right, share)
