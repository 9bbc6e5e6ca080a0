"""Keys and values of computed sequences: private buffers while computing, a bounded store of finished ones.

Invariant: a sequence in the store is never written again. A request copies the prefix it shares into its own buffer
(a memory copy costs a thousandth of computing the same tokens) and appends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

__all__ = ["Ids", "KVSequence", "PrefixStore", "as_ids", "cut_cache", "new_cache"]

Ids = npt.NDArray[np.int64]

_GROWTH = 256
"""Number of tokens by which a buffer grows when a generation exceeds it."""

_IDLE_LOOKUPS = 256
"""A sequence that was not used for so many lookups is dropped first: its session is probably over."""

_MAX_SEQUENCES = 512
"""A limit for the linear search of the longest prefix; except for tiny sequences the byte budget is reached first."""


def as_ids(ids: Sequence[int]) -> Ids:
    """Return token ids as one array."""
    return np.asarray(ids, dtype=np.int64)


class _BufferLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """The keys and values of one layer in preallocated buffers, returned as views of the filled part."""

    is_sliding = False

    def __init__(self, capacity: int, prefix: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self.capacity = capacity
        self.length = 0
        if prefix is not None:
            self.update(*prefix)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._buffer(key_states)
        self.values = self._buffer(value_states)
        self.is_initialized = True

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        batch, heads, _, width = like.shape
        return like.new_empty(batch, heads, self.capacity, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.capacity:
            self._grow(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.filled()

    def _grow(self, needed: int) -> None:
        old_keys, old_values = self.filled()
        self.capacity = needed + _GROWTH
        self.keys, self.values = self._buffer(old_keys), self._buffer(old_values)
        self.keys[:, :, : self.length] = old_keys
        self.values[:, :, : self.length] = old_values

    def filled(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1


class KVSequence:
    """A finished sequence: its ids and, per layer, keys and values of shape (1, kv_heads, tokens, head_dim)."""

    def __init__(self, ids: Ids, cache: Cache) -> None:
        """Keep the keys and values of `ids`, a prefix of the sequence in `cache`."""
        self.ids = ids
        buffers = cast("list[_BufferLayer]", cache.layers)
        self.layers = [
            (keys[:, :, : len(ids)], values[:, :, : len(ids)]) for keys, values in (layer.filled() for layer in buffers)
        ]
        # Count the whole buffer, not only the filled part, since all of it stays in memory.
        self.nbytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in buffers)

    def matches(self, ids: Ids) -> int:
        """Return how many leading ids the two sequences share."""
        shared = min(len(self.ids), len(ids))
        differing = np.flatnonzero(self.ids[:shared] != ids[:shared])
        return int(differing[0]) if differing.size else shared


def new_cache(capacity: int, source: KVSequence | None = None, length: int = 0) -> Cache:
    """Return a writable cache with room for `capacity` tokens that starts with a copy of `source`'s first `length`."""
    if source is None or length == 0:
        # A cache calls this once per layer on its first write, so the number of layers is not needed here.
        make = cast("type[_BufferLayer]", partial(_BufferLayer, capacity))
        return Cache(layer_class_to_replicate=make)
    return Cache(
        layers=[_BufferLayer(capacity, (keys[:, :, :length], values[:, :, :length])) for keys, values in source.layers]
    )


def cut_cache(cache: Cache, length: int) -> None:
    """Drop everything past the first `length` tokens of a cache that `new_cache` made."""
    for layer in cast("list[_BufferLayer]", cache.layers):
        layer.length = min(layer.length, length)


class PrefixStore:
    """A cache of finished sequences with a byte budget. Used by one thread only.

    While a session is followed, all of its ablated sequences are extended in turn. If the budget holds some of them
    only, dropping the least recently used one would always drop the one that is extended next. So what was used most
    stays, and of equals the older one, until it was not used for `_IDLE_LOOKUPS`.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._sequences: list[_Kept] = []
        self._lookups = 0

    @property
    def nbytes(self) -> int:
        """The bytes of all sequences kept."""
        return sum(kept.sequence.nbytes for kept in self._sequences)

    def longest_prefix(self, ids: Ids) -> tuple[KVSequence | None, int]:
        """Return the sequence with the longest common prefix, and its length; (None, 0) if there is none."""
        self._lookups += 1
        best, shared = None, 0
        for kept in self._sequences:
            matched = kept.sequence.matches(ids)
            if matched > shared:
                best, shared = kept, matched
        if best is None:
            return None, 0
        best.uses += 1
        best.used_at = self._lookups
        return best.sequence, shared

    def add(self, sequence: KVSequence) -> None:
        """Add a finished sequence in place of its prefixes, and drop others until the budget is met."""
        if any(kept.sequence.matches(sequence.ids) == len(sequence.ids) for kept in self._sequences):
            return
        prefixes = [kept for kept in self._sequences if kept.sequence.matches(sequence.ids) == len(kept.sequence.ids)]
        uses = max((kept.uses for kept in prefixes), default=0)
        self._sequences = [kept for kept in self._sequences if kept not in prefixes]
        self._sequences.append(_Kept(sequence, uses, self._lookups))
        while self._sequences and (self.nbytes > self.budget_bytes or len(self._sequences) > _MAX_SEQUENCES):
            self._sequences.remove(self._least_useful())

    def _least_useful(self) -> _Kept:
        """Return what to drop, but the sequence that was just added, and the one that it began with, only if last."""
        added = self._sequences[-1]
        others = [kept for kept in self._sequences[:-1] if kept.used_at < self._lookups] or self._sequences[:-1]
        if not others:
            return added
        oldest = min(others, key=lambda kept: kept.used_at)
        if self._lookups - oldest.used_at > _IDLE_LOOKUPS:
            return oldest
        return min(others, key=lambda kept: (kept.uses, -kept.used_at))


@dataclass(eq=False, slots=True)
class _Kept:
    """A sequence in the store, how often it was the longest prefix, and at which lookup it was added or used last."""

    sequence: KVSequence
    uses: int
    used_at: int
