"""Which computation path a loaded model takes: found by its configuration, then proved on the model itself.

Fastest first: shared prefixes with lower-right attention (by matrix products, by the flash kernel), shared prefixes
with the model's own attention, plain forwards. A path is taken only when it reproduces one plain forward on random ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from memscope.server.compute import attention, onednn
from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.passes import PlainPass, PrefixPass, logits_of

__all__ = ["ComputePath", "choose_path", "obstacle", "vocabulary_size"]

_CHECK_TOKENS = 72
_CHECK_PREFIX = 29
_CHECK_CHUNK = 16
_EXACT_NATS = 1e-3
"""Largest difference in float32; a wrong prefix is off by several nats."""
_ROUNDED_NATS = 0.1
"""Largest mean difference where the model computes in half precision, whose rounding depends on the path."""


@dataclass(frozen=True)
class ComputePath:
    """How sequences go through one model.

    Attributes:
        prefix_cache: Prefixes are shared between requests.
        attention: The attention implementation set on the model.
        stock: The attention that the model came with, which has gradients.
        plain_head: The head can be applied apart from the model (used by plain forwards only).
        note: Why not a faster path, in one line, or "".
    """

    prefix_cache: bool
    attention: str
    stock: str
    plain_head: bool
    note: str

    def apply(self, model: PreTrainedModel) -> None:
        """Let other weights of the same architecture take this path."""
        if self.attention == attention.PRODUCTS:
            onednn.accelerate(model)
        model.set_attn_implementation(self.attention)

    def undo(self, model: PreTrainedModel) -> None:
        """Give a model back the computation that it came with."""
        onednn.restore(model)
        model.set_attn_implementation(self.stock)


def obstacle(model: PreTrainedModel, max_tokens: int | None) -> str:
    """Say why the architecture's cache cannot be cut at any position, or return ""."""
    config = model.config.get_text_config(decoder=True)
    window = getattr(config, "sliding_window", None)
    fits = window is None or (max_tokens is not None and window >= max_tokens)
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"}:
        return f"layers of kind {', '.join(sorted(kinds - {'full_attention'}))} keep a state that cannot be cut"
    if ("sliding_attention" in kinds or (not kinds and getattr(config, "use_sliding_window", True))) and not fits:
        return f"the sliding window of {window} tokens is shorter than the context"
    if getattr(model, "_is_stateful", False):
        return f"{type(model).__name__} keeps a recurrent state that cannot be cut"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in {"dynamic", "longrope"}:
        return f"rotary embeddings of type {rope['rope_type']} depend on the length of the whole sequence"
    return ""


@torch.inference_mode()
def choose_path(model: PreTrainedModel, max_tokens: int | None) -> ComputePath:
    """Find the fastest path that reproduces a plain forward, and set the model's attention accordingly."""
    own = model.config._attn_implementation
    ids = _check_ids(model)
    reference, plain_head = _plain(model, ids)
    if why := obstacle(model, max_tokens):
        return ComputePath(False, own, own, plain_head, f"computed without prefix reuse: {why}")
    attention.register()
    if onednn.pays(model):
        onednn.accelerate(model)
        if _with_attention(model, attention.PRODUCTS, ids, reference):
            return ComputePath(True, attention.PRODUCTS, own, plain_head, "")
        onednn.restore(model)
    if attention.available(model.device) and _with_attention(model, attention.FLASH, ids, reference):
        return ComputePath(True, attention.FLASH, own, plain_head, "")
    model.set_attn_implementation(own)
    if _reproduces(model, ids, reference):
        return ComputePath(True, own, own, plain_head, "lower-right attention is not usable here: plain chunks instead")
    return ComputePath(
        False, own, own, plain_head, "computed without prefix reuse: a shared prefix did not reproduce a plain forward"
    )


def _with_attention(model: PreTrainedModel, name: str, ids: Ids, reference: torch.Tensor) -> bool:
    model.set_attn_implementation(name)
    # An architecture with attention of its own ignores the request, with a warning.
    return model.config._attn_implementation == name and _reproduces(model, ids, reference)


def vocabulary_size(model: PreTrainedModel) -> int:
    """Return the number of rows of the input embeddings."""
    weight: Any = model.get_input_embeddings().weight
    return int(weight.shape[0])


def _check_ids(model: PreTrainedModel) -> Ids:
    return np.random.default_rng(7).integers(0, vocabulary_size(model), _CHECK_TOKENS)


def _plain(model: PreTrainedModel, ids: Ids) -> tuple[torch.Tensor, bool]:
    everywhere = torch.arange(len(ids))
    reference = logits_of(model, ids, everywhere, use_cache=False)
    try:
        _, apart = next(PlainPass(model, ids, plain_head=True).outputs(len(ids), everywhere))
    except (AttributeError, TypeError, RuntimeError):
        return reference, False
    return reference, bool(torch.allclose(apart, reference, rtol=1e-4, atol=1e-4))


def _reproduces(model: PreTrainedModel, ids: Ids, reference: torch.Tensor) -> bool:
    store = PrefixStore(1 << 40)
    nothing = torch.empty(0, dtype=torch.long)
    rest = torch.arange(_CHECK_PREFIX, len(ids))
    try:
        head = PrefixPass(model, store, ids[:_CHECK_PREFIX], first=_CHECK_PREFIX, end=_CHECK_PREFIX, chunk=_CHECK_CHUNK)
        for _ in head.outputs(_CHECK_PREFIX, nothing):
            pass
        head.keep()
        tail = PrefixPass(model, store, ids, first=_CHECK_PREFIX, end=len(ids), chunk=_CHECK_CHUNK)
        logits = torch.cat([part for _, part in tail.outputs(len(ids), rest)])
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, NotImplementedError):
        return False
    difference = (logits.log_softmax(-1) - reference[_CHECK_PREFIX:].log_softmax(-1)).abs()
    if not torch.isfinite(reference).all():
        return True  # Weights that yield no numbers are reported when scored; no path can be told from another.
    if model.dtype == torch.float32:
        return bool(difference.max() <= _EXACT_NATS)
    return bool(difference.mean() <= _ROUNDED_NATS)
