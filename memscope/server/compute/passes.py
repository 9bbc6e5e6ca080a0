"""One sequence going through the model: with a shared prefix where the architecture allows it, else in one piece.

A pass computes next-token logits only where asked. Output position `p` predicts the token at `p + 1`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from memscope.server.compute.kv import Ids, KVSequence, PrefixStore, new_cache

__all__ = ["Pass", "PlainPass", "PrefixPass", "cache_argument", "logits_of"]

_HEAD_BYTES = 256 << 20
"""Logits made at once by a head that may be applied apart from the model."""


class Pass(Protocol):
    """What scoring and generation need of a pass.

    Attributes:
        cached: Tokens whose keys and values were taken from the store.
        computed: Tokens forwarded so far.
    """

    cached: int
    computed: int

    def outputs(self, end: int, wanted: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Forward up to position `end` (exclusive), a chunk a time.

        Args:
            end: First position that is not forwarded.
            wanted: Ascending output positions below `end`, not yet forwarded.

        Yields:
            (positions, logits): the wanted positions of one chunk (possibly none) and their logits, float32.
        """
        ...

    def append(self, token: int) -> torch.Tensor:
        """Add one token to the sequence, forward it, and return its next-token logits (vocabulary,), float32."""
        ...

    def keep(self) -> None:
        """Offer what was computed to the store, for later sequences with the same beginning."""
        ...


class PrefixPass:
    """A pass that starts after the longest stored prefix and goes on in chunks."""

    def __init__(
        self, model: PreTrainedModel, store: PrefixStore, ids: Ids, *, first: int, end: int, chunk: int
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: The model.
            store: Where prefixes are found and kept.
            ids: The whole sequence.
            first: First output position that is needed: it must be forwarded even when its keys are known.
            end: Positions expected to be forwarded or reused in all (sizes the buffer).
            chunk: Tokens a forward.
        """
        source, shared = store.longest_prefix(ids)
        self.cached = min(shared, first)
        self.computed = 0
        self._model, self._store, self._ids, self._chunk = model, store, ids, chunk
        self._cache: Cache = new_cache(end, source, self.cached)

    @property
    def _length(self) -> int:
        return self.cached + self.computed

    def outputs(self, end: int, wanted: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Pass.outputs`."""
        while self._length < end:
            start, stop = self._length, min(self._length + self._chunk, end)
            here = wanted[(wanted >= start) & (wanted < stop)]
            yield here, self._forward(self._ids[start:stop], here - start)

    def append(self, token: int) -> torch.Tensor:
        """See `Pass.append`."""
        self._ids = _appended(self._ids[: self._length], token)
        return self._forward(self._ids[-1:], torch.zeros(1, dtype=torch.long))[0]

    def keep(self) -> None:
        """See `Pass.keep`."""
        if self.computed:
            self._store.add(KVSequence(self._ids[: self._length], self._cache))

    def _forward(self, ids: Ids, keep: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self._model, ids, keep, use_cache=True, **{cache_argument(self._model): self._cache})
        self.computed += len(ids)
        return logits


class PlainPass:
    """A pass with no reuse: one plain forward, for caches that cannot be cut anywhere (sliding windows, states)."""

    cached = 0

    def __init__(self, model: PreTrainedModel, ids: Ids, *, plain_head: bool) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: The model.
            ids: The whole sequence.
            plain_head: The logits are the output embeddings' product alone, so the head can run in slices.
        """
        self.computed = 0
        self._model, self._ids, self._plain_head = model, ids, plain_head
        self._state: Any = None

    def outputs(self, end: int, wanted: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """See `Pass.outputs`."""
        ids = self._ids[:end]
        self.computed += len(ids)
        if len(wanted) == 1 and end == len(self._ids):
            # Only the last output: a text is about to be generated, so the model's own state is kept.
            yield wanted, self._stateful(ids)[None]
            return
        if not self._plain_head:
            yield wanted, logits_of(self._model, ids, wanted, use_cache=False)
            return
        hidden = self._model.base_model(_batch(self._model, ids), use_cache=False).last_hidden_state[0]
        head: Any = self._model.get_output_embeddings()  # type: ignore[no-untyped-call]
        rows = max(1, _HEAD_BYTES // (4 * head.weight.shape[0]))
        for here in torch.split(wanted, rows):
            yield here, head(hidden[here.to(hidden.device)]).float()

    def append(self, token: int) -> torch.Tensor:
        """See `Pass.append`. The model's own cache carries the state; without one everything is forwarded again."""
        self._ids = _appended(self._ids, token)
        ids = self._ids if self._state is None else self._ids[-1:]
        self.computed += len(ids)
        return self._stateful(ids)

    def keep(self) -> None:
        """See `Pass.keep`: there is nothing that could be shared."""

    def _stateful(self, ids: Ids) -> torch.Tensor:
        name = cache_argument(self._model)
        state = {} if self._state is None else {name: self._state}
        output = self._model(_batch(self._model, ids), use_cache=True, **state)
        self._state = getattr(output, name, None)
        return output.logits[0, -1].float()  # type: ignore[no-any-return]


def logits_of(model: PreTrainedModel, ids: Ids, keep: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    """Forward ids as one batch row; return float32 logits (len(keep), vocabulary) at the positions in `keep`."""
    batch = _batch(model, ids)
    keep = keep.to(batch.device)
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits = model(batch, logits_to_keep=keep, **kwargs).logits[0]
    else:
        logits = model(batch, **kwargs).logits[0, keep]
    return logits.float()  # type: ignore[no-any-return]


def cache_argument(model: PreTrainedModel) -> str:
    """Return what `forward` calls its cache: transformers 5.24 renamed `past_key_values`, one architecture a time."""
    names = inspect.signature(model.forward).parameters
    return next((name for name in ("cache", "past_key_values", "cache_params") if name in names), "past_key_values")


def _batch(model: PreTrainedModel, ids: Ids) -> torch.Tensor:
    return torch.from_numpy(ids)[None].to(model.device)


def _appended(ids: Ids, token: int) -> Ids:
    grown = ids.copy()
    grown.resize(len(ids) + 1)
    grown[-1] = token
    return grown
