"""A loaded model as two halves: the body, from ids to hidden states, and the head, from those to logits.

Split, the head runs only where logits are wanted, and always in blocks of one shape: how many positions a request asks
for never changes the rounding of any of them. The head is the model's own `forward` with the body's result put in
place of the body, so scales and soft caps are the model's. Where that does not work (`Network.split` is False) the
"hidden states" are the logits themselves, of every position.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, TypeAlias

import torch
from transformers import PreTrainedModel

from memscope.server.compute.kv import Ids

__all__ = ["HEAD_BLOCK", "ModelState", "Network", "batch_of"]

ModelState: TypeAlias = Any
"""A model's own cache, whatever its class."""

_CACHE_NAMES = ("cache", "past_key_values", "cache_params")
HEAD_BLOCK = 16
"""Positions a block of the head. Blocks begin at multiples of this in the sequence."""


class Network:
    """One model, ready for inference.

    Attributes:
        model: The model.
        split: Whether the head runs separately from the body.
        rows: Numbers of positions that the head may take at once, descending, `HEAD_BLOCK` last.
    """

    def __init__(self, model: PreTrainedModel, *, split: bool, rows: tuple[int, ...] = (HEAD_BLOCK,)) -> None:
        self.model = model
        self.split = split
        self.rows = rows
        self._body: torch.nn.Module = model.base_model if split else model
        self._head = _head(model) if split else None
        parameters = inspect.signature(self._body.forward).parameters
        self._cache_name = next(
            (name for name in ("cache", "past_key_values", "cache_params") if name in parameters), ""
        )

    def hidden(
        self, ids: Ids, state: ModelState = None, *, keep_state: bool = False
    ) -> tuple[torch.Tensor, ModelState]:
        """Forward ids as one batch row.

        Args:
            ids: The ids after those in `state`.
            state: The cache to continue from; modified in place.
            keep_state: Return the cache, to continue from it later.

        Returns:
            Hidden states (len(ids), width), and the cache (None unless kept).
        """
        given = {} if state is None else {self._cache_name: state}
        output = self._body(batch_of(self.model, ids), use_cache=keep_state or state is not None, **given)
        hidden = output.last_hidden_state[0] if self.split else output.logits[0]
        return hidden, getattr(output, self._cache_name, None) if keep_state else None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits (rows, vocabulary) of hidden states (rows, width); see `rows` for how many."""
        if self._head is None:
            return hidden.float()
        logits: torch.Tensor = self._head(hidden)
        return logits.float()


def batch_of(model: PreTrainedModel, ids: Ids) -> torch.Tensor:
    """Return ids as a batch of one row on the model's device."""
    return torch.from_numpy(ids)[None].to(model.device)


class _FixedBody(torch.nn.Module):
    """Replaces the body and returns given hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: torch.Tensor | None = None

    def forward(self, *_args: Any, **_kwargs: Any) -> _BodyOutput:
        return _BodyOutput(self.hidden)


class _BodyOutput:
    """The output of a body, with only the last hidden states."""

    def __init__(self, hidden: torch.Tensor | None) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int) -> torch.Tensor | None:
        return self.last_hidden_state if index == 0 else None

    def __getattr__(self, _name: str) -> None:
        return None


def _head(model: PreTrainedModel) -> Any:
    if model.base_model is model:
        raise AttributeError("the model has no body of its own")
    twin: Any = copy.copy(model)
    given = _FixedBody()
    # The copy shares every module with the model except the body.
    twin._modules = {**model._modules, model.base_model_prefix: given}

    def head(hidden: torch.Tensor) -> torch.Tensor:
        given.hidden = hidden[None]
        try:
            ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
            logits: torch.Tensor = twin(ids, use_cache=False).logits[0]
        finally:
            given.hidden = None
        return logits

    return head
