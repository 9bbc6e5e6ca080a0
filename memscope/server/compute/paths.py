"""Choose the computation path of a loaded model by its configuration, and verify it on the model itself.

Fastest first (`PATHS`):

    products  shared prefixes, lower-right attention by oneDNN's matrix products
    flash     shared prefixes, lower-right attention by the flash kernel
    stock     shared prefixes, the model's own attention
    windowed  chunks from the sequence's start with the model's own cache, for windows and states that cannot be cut
    whole     one plain forward per request
    ranges    one plain forward per scored range, cut at the range's end, for models in which a token's probability
              depends on the length of the sequence

A path is used only if it reproduces a plain forward on random ids. The environment variable `MEMSCOPE_SERVE_PATH`
sets the fastest path to try, so that each can be tested on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from transformers import PreTrainedModel

from memscope.errors import ScorerError
from memscope.server.compute import attention, onednn
from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.network import HEAD_BLOCK, Network
from memscope.server.compute.passes import ChunkedPass, ChunkGrid
from memscope.server.compute.rotary import RotaryState, length_dependent_types
from memscope.server.compute.rounding import body_is_row_invariant, head_rows

__all__ = [
    "PATHS",
    "ComputePath",
    "PathName",
    "alternate_path",
    "choose_path",
    "obstacle",
    "require_causal",
    "vocabulary_size",
]

PathName: TypeAlias = Literal["products", "flash", "stock", "windowed", "whole", "ranges"]
PATHS: tuple[PathName, ...] = get_args(PathName)

_CHECK_TOKENS = 80
_CHECK_GRANULE = attention.BLOCK
_EXACT_NATS = 1e-3
"""Largest allowed difference in float32; a wrong prefix is off by several nats."""
_ROUNDED_NATS = 0.02
"""Mean difference in half precision below which a path is as good as another, whatever the model's own noise."""
_NOISE = 2.0
"""In half precision, how much more than the model's own attention in chunks a path may differ from a plain forward."""
_MAX_NATS = 0.1
"""Upper limit of the mean difference in half precision, however noisy the model."""
_FIXED_TOKENS = 256
"""Tokens a forward on a CPU where every forward must be of one size: larger ones are faster, and waste more."""
_FAILURES = (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError)
"""Exceptions of architectures that do not support a path."""


@dataclass(frozen=True)
class ComputePath:
    """How sequences are computed with one model.

    Attributes:
        name: Its name.
        attention: The attention implementation set on the model.
        stock: The original attention of the model, which supports gradients.
        split: Whether the head runs separately from the body.
        head_rows: Numbers of positions that the head may take at once, descending.
        grid: How sequences are cut into chunks.
        rotary: The state of the rotary modules before any forward.
        note: Why no faster path is used, on one line, or "".
        onednn: Whether linear layers use oneDNN's products.
    """

    name: PathName
    attention: str
    stock: str
    split: bool
    head_rows: tuple[int, ...]
    grid: ChunkGrid
    rotary: RotaryState
    note: str
    onednn: bool = False

    @property
    def prefix_cache(self) -> bool:
        """Whether prefixes are shared between requests."""
        return self.name in ("products", "flash", "stock")

    def apply(self, model: PreTrainedModel) -> Network:
        """Configure a model of this architecture for this path, and return it ready for inference."""
        (onednn.accelerate if self.onednn else onednn.restore)(model)
        model.set_attn_implementation(self.attention)
        self.rotary.restore(model)
        return Network(model, split=self.split, rows=self.head_rows)

    def undo(self, model: PreTrainedModel) -> None:
        """Restore the original computation of a model."""
        onednn.restore(model)
        model.set_attn_implementation(self.stock)
        self.rotary.restore(model)


def obstacle(model: PreTrainedModel, max_tokens: int | None) -> str:
    """Return why the architecture's cache cannot be cut at any position, or ""."""
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
    return ""


@torch.inference_mode()
def require_causal(model: PreTrainedModel, max_tokens: int | None) -> None:
    """Raise unless a token's probability depends on nothing after it.

    Raises:
        ScorerError: Later ids change earlier predictions.
    """
    ids = _check_ids(model, max_tokens)
    half = len(ids) // 2
    other = np.concatenate([ids[:half], (ids[half:] + 1) % vocabulary_size(model)])
    network = Network(model, split=False)
    before, after = (network.hidden(given)[0][:half].float().log_softmax(-1) for given in (ids, other))
    difference = (before - after).abs()
    bound = _EXACT_NATS if model.dtype == torch.float32 else _ROUNDED_NATS
    if bool((difference.mean() if model.dtype != torch.float32 else difference.max()) > bound):
        raise ScorerError(
            "not a causal language model: later tokens change the probabilities of earlier ones,"
            " so responses cannot be scored; serve a model that generates from left to right"
        )


@torch.inference_mode()
def choose_path(
    model: PreTrainedModel, max_tokens: int | None, chunk_tokens: int, fastest: PathName | None = None
) -> ComputePath:
    """Find the fastest path that reproduces a plain forward, and configure the model for it.

    Args:
        model: The original model, before its first forward.
        max_tokens: Longest sequence; None without a limit.
        chunk_tokens: Tokens that go through the model at once at most.
        fastest: Try this path first, even if others would be faster; None tries all that are worthwhile.

    Raises:
        ScorerError: The model is not causal.
    """
    chooser = _Chooser(model, max_tokens, chunk_tokens, fastest)
    require_causal(model, max_tokens)
    for path in chooser.candidates():
        slower = fastest is None or PATHS.index(path.name) >= PATHS.index(fastest)
        if slower and (chosen := chooser.tried(path)) is not None:
            return chosen
    raise AssertionError("a plain forward reproduces itself")


class _Chooser:
    """Tries paths on one model."""

    def __init__(
        self, model: PreTrainedModel, max_tokens: int | None, chunk_tokens: int, fastest: PathName | None
    ) -> None:
        self._model = model
        self._forced = fastest
        self._max_tokens = max_tokens
        self._chunk = -(-chunk_tokens // HEAD_BLOCK) * HEAD_BLOCK
        fixed = self._chunk if model.device.type != "cpu" else min(self._chunk, _FIXED_TOKENS)
        self._ids = _check_ids(model, max_tokens)
        self._rotary = RotaryState(model)
        self._reference = Network(model, split=False).hidden(self._ids)[0].float().log_softmax(-1)
        self._stock = ComputePath(
            name="whole",
            attention=model.config._attn_implementation,
            stock=model.config._attn_implementation,
            split=self._splits(),
            head_rows=(HEAD_BLOCK,),
            grid=ChunkGrid(fixed, fixed, max_tokens),
            rotary=self._rotary,
            note="computed without prefix reuse: a shared prefix did not reproduce a plain forward",
        )

    def candidates(self) -> Iterator[ComputePath]:
        """Yield the paths that the architecture allows, fastest first."""
        whole = self._stock
        if types := length_dependent_types(self._model, self._max_tokens):
            why = f"rotary embeddings of type {', '.join(types)} depend on the length of the whole sequence"
            yield replace(whole, name="ranges", note=f"each response is computed by itself: {why}")
            return
        why = obstacle(self._model, self._max_tokens)
        if not why:
            yield from self._sharing()
        note = f"computed without prefix reuse: {why}" if why else whole.note
        yield replace(whole, name="windowed", note=note)
        yield replace(whole, note=note)

    def _sharing(self) -> Iterator[ComputePath]:
        attention.register()
        shared = replace(self._stock, note="")
        if onednn.usable(self._model) and (self._forced == "products" or onednn.is_faster()):
            yield replace(shared, name="products", attention=attention.PRODUCTS, onednn=True)
        if attention.available(self._model.device):
            yield replace(shared, name="flash", attention=attention.FLASH)
        yield replace(shared, name="stock", note="lower-right attention is not usable here: plain chunks instead")

    def tried(self, path: ComputePath) -> ComputePath | None:
        """Return the path, with the sizes that it may use, if it reproduces a plain forward."""
        network = path.apply(self._model)
        if self._model.config._attn_implementation != path.attention:
            return None  # An architecture with attention of its own ignores the request, with a warning.
        if path.name not in ("whole", "ranges") and not self._reproduces(path, network):
            return None
        path = replace(path, head_rows=head_rows(network))
        return self._with_larger_forwards(path, network) if path.name in ("products", "flash") else path

    def _with_larger_forwards(self, path: ComputePath, network: Network) -> ComputePath:
        granule = attention.BLOCK
        span = self._chunk // granule * granule
        ids = np.resize(self._ids, 2 * granule)
        room = span if self._max_tokens is None else min(span, self._max_tokens)
        if room < 2 * granule or not body_is_row_invariant(network, granule, span, ids):
            return path
        return replace(path, grid=ChunkGrid(granule, span, self._max_tokens))

    def _splits(self) -> bool:
        try:
            network = Network(self._model, split=True)
            hidden, _ = network.hidden(self._ids)
            logits = torch.cat([network.logits(rows) for rows in torch.split(hidden, HEAD_BLOCK)])
        except _FAILURES:
            return False
        return self._agrees(logits, self._reference, 0.0)

    def _reproduces(self, path: ComputePath, network: Network) -> bool:
        found = self._in_chunks(network, path.prefix_cache)
        if found is None or self._model.dtype == torch.float32:
            return found is not None and self._agrees(found, self._reference, 0.0)
        own = self._in_chunks(self._stock.apply(self._model), path.prefix_cache)
        noise = 0.0 if own is None else float(_difference(own, self._reference).mean())
        path.apply(self._model)
        return self._agrees(found, self._reference, noise)

    def _in_chunks(self, network: Network, sharing: bool) -> torch.Tensor | None:
        """Return the logits of the check's ids computed in chunks, where the architecture shares prefixes after one."""
        store = PrefixStore(1 << 40) if sharing else None
        grid = ChunkGrid(_CHECK_GRANULE, _CHECK_GRANULE, self._max_tokens)
        everywhere = np.arange(len(self._ids))
        try:
            head = ChunkedPass(network, grid, store, self._ids[:_CHECK_GRANULE], first=0)
            begun = [logits for _, logits in head.outputs(_CHECK_GRANULE, everywhere)]
            head.keep()
            tail = ChunkedPass(network, grid, store, self._ids, first=_CHECK_GRANULE)
            ended = [logits for _, logits in tail.outputs(len(self._ids), everywhere)]
        except _FAILURES:
            return None
        return torch.cat(begun + ended if sharing else ended)[: len(self._ids)]

    def _agrees(self, logits: torch.Tensor, reference: torch.Tensor, noise: float) -> bool:
        if not torch.isfinite(reference).all():
            return True  # NaN weights are reported when scoring; they do not distinguish paths.
        difference = _difference(logits, reference)
        if self._model.dtype == torch.float32:
            return bool(difference.max() <= _EXACT_NATS)
        return bool(difference.mean() <= max(_ROUNDED_NATS, min(_NOISE * noise, _MAX_NATS)))


def alternate_path(path: ComputePath, model: PreTrainedModel) -> ComputePath:
    """Return a path that computes the same numbers with different rounding, to measure rounding errors.

    It uses chunks of another size, attention by the model's own implementation (or plain products, if that is already
    in use), and on a CPU the other library for linear layers.

    Two runs with the same setting agree to the last bit; a noise floor bounds the differences between paths or numbers
    of threads. With d the differences |plain - alternate| of responses, both for the baseline *and* with every memory
    left out (models are certain of what memories tell them, and rounding errors grow with uncertainty), 99.9 % of the
    differences of cells are within max(3 max(d), 1e-5 sqrt(tokens of the response)); see `bench_noise.py`.
    """
    name: PathName = "stock" if path.prefix_cache else path.name
    whole = name in ("whole", "ranges")  # plain products would hold the scores of all pairs of positions
    plain = path.attention == path.stock == "sdpa" and not whole
    granule = max(HEAD_BLOCK, path.grid.span * 3 // 8 // HEAD_BLOCK * HEAD_BLOCK)
    return replace(
        path,
        name=name,
        attention="eager" if plain else path.stock,
        head_rows=(HEAD_BLOCK,),
        grid=ChunkGrid(granule, granule, path.grid.limit),
        onednn=not path.onednn and onednn.usable(model),
    )


def _difference(logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    return (logits.log_softmax(-1) - reference).abs()


def vocabulary_size(model: PreTrainedModel) -> int:
    """Return the number of rows of the input embeddings."""
    weight: Any = model.get_input_embeddings().weight
    return int(weight.shape[0])


def _check_ids(model: PreTrainedModel, max_tokens: int | None) -> Ids:
    ids = np.random.default_rng(7).integers(0, vocabulary_size(model), _CHECK_TOKENS)
    return ids if max_tokens is None else ids[:max_tokens]
