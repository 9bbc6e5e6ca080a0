"""Lower-right-causal attention: a suffix attends to its cached prefix and, causally, to itself, with no mask.

The stock path builds a dense mask whenever there are fewer queries than keys, computes the masked triangle and repeats
the key/value heads. Two ways around it, both in blocks of queries, both for one batch row on a CPU:

    flash     the prefix part and the square causal part are two calls of the CPU flash kernel, merged exactly by their
              log-sum-exp
    products  two of oneDNN's matrix products around an in-place softmax, which is faster where those products are

The operators are private to torch, so each is used only where a self check on the loaded model passes
(`memscope.server.compute.paths`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import AttentionInterface

from memscope.server.compute.onednn import product

__all__ = ["BLOCK", "FLASH", "PRODUCTS", "available", "flash_attention", "products_attention", "register"]

FLASH = "memscope_lower_right"
"""The name under which transformers finds `flash_attention`. It has no mask function, so no mask is ever built; and no
"flash" in it, which transformers takes for a kernel to fetch."""
PRODUCTS = "memscope_products"
"""The same for `products_attention`."""

BLOCK = 64
"""Queries per block. Block edges are multiples of this *in the sequence*, so the shape of every product for the output
of a position depends only on the position, and so does its rounding."""
_SCORES = 1 << 21
"""Scores held at once by `products_attention`; blocks shrink as the prefix grows, so that they stay in the cache."""
_IGNORED_ARGUMENTS = {"position_ids", "cache_position", "use_cache", "return_dict"}
"""Arguments of attention layers that do not affect plain causal attention."""

_OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"


def available(device: torch.device) -> bool:
    """Return whether this torch has the flash operator and the model's device supports it."""
    return device.type == "cpu" and hasattr(torch.ops.aten, _OPERATOR)


def register() -> None:
    """Register both attentions with transformers; repeated calls are harmless."""
    AttentionInterface.register(FLASH, flash_attention)
    AttentionInterface.register(PRODUCTS, products_attention)


def flash_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with the last `S` of `K` positions as queries, by the flash kernel.

    Args:
        module: The attention layer.
        query: (1, heads, S, head_dim).
        key: (1, kv_heads, K, head_dim), K >= S; a view of a longer buffer will do.
        value: As `key`.
        attention_mask: Must be None.
        scaling: The factor on the scores; 1 / sqrt(head_dim) when None.
        arguments: What else the layer passes; see Raises.

    Returns:
        (1, S, heads, head_dim) and no weights.

    Raises:
        NotImplementedError: The layer asks for more than plain causal attention of one sequence: a mask, a soft cap,
            sinks, a window shorter than the keys, a position bias, dropout, or anything unknown.
    """
    _require_plain_causal(module, query, key, attention_mask, arguments)
    batch, heads, suffix, _width = query.shape
    past = key.shape[2] - suffix
    output = query.new_empty(batch, suffix, heads, value.shape[-1])
    for start, stop in _blocks(past, past + suffix, BLOCK):
        block = query[:, :, start - past : stop - past]
        output[:, start - past : stop - past] = _flash_block(block, key, value, start, scaling).transpose(1, 2)
    return output, None


def products_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with the last `S` of `K` positions as queries, by matrix products; see `flash_attention`."""
    _require_plain_causal(module, query, key, attention_mask, arguments)
    _batch, heads, suffix, width = query.shape
    kv_heads, past = key.shape[1], key.shape[2] - suffix
    groups = heads // kv_heads
    query = query * (width**-0.5 if scaling is None else scaling)
    output = query.new_empty(1, suffix, kv_heads, groups, value.shape[-1])
    for first, last in _blocks(past, past + suffix, BLOCK):
        for start, stop in _blocks(first, last, _queries_at_once(groups, first)):
            future = torch.full((stop - start, stop - start), float("-inf")).triu_(1)
            for head in range(kv_heads):
                rows = query[0, head * groups : (head + 1) * groups, start - past : stop - past].reshape(-1, width)
                scores = product(rows, key[0, head, :stop])
                scores.view(groups, stop - start, -1)[:, :, start:].add_(future)
                torch.softmax(scores, -1, out=scores)
                mixed = product(scores, value[0, head, :stop].t())
                output[0, start - past : stop - past, head] = mixed.view(groups, stop - start, -1).transpose(0, 1)
    return output.view(1, suffix, heads, -1), None


def _blocks(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut [start, stop) at the multiples of `size`."""
    while start < stop:
        end = min(stop, (start // size + 1) * size)
        yield start, end
        start = end


def _queries_at_once(groups: int, position: int) -> int:
    size = BLOCK
    while size > 1 and groups * size * (position + BLOCK) > _SCORES:
        size //= 2
    return size


def _require_plain_causal(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    attention_mask: torch.Tensor | None,
    arguments: dict[str, Any],
) -> None:
    """Raise unless what is asked for is causal attention of one sequence and nothing more."""
    window = arguments.get("sliding_window")
    causal = arguments.get("is_causal")
    refused = {
        "a mask": attention_mask is not None,
        "a batch": query.shape[0] != 1,
        "a sliding window": window is not None and window < key.shape[2],
        "attention to later positions": not (getattr(module, "is_causal", True) if causal is None else causal),
        "dropout": bool(arguments.get("dropout")),
    }
    known = _IGNORED_ARGUMENTS | {"sliding_window", "is_causal", "dropout"}
    unknown = {name: given for name, given in arguments.items() if name not in known}
    refused |= {name: given is not None and given is not False for name, given in unknown.items()}
    if asked := [name for name, given in refused.items() if given]:
        raise NotImplementedError(f"lower-right attention does not implement {', '.join(asked)}")


def _flash_block(
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
