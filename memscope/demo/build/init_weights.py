"""Initial weights with which copying works before any training.

Random weights need tens of millions of tokens until the first induction head forms; the demo model has a few million.
So some heads are set by hand, and training only has to refine them:

- heads of layers 0 and 1 look a fixed number of tokens back. A constant channel of the embedding feeds their queries
  and keys, so that only rotary position matters: rotating the query by d steps makes the score peak at distance d;
- head 0 of layer 0 writes which token came one before into a few channels kept free for it;
- the first heads of layer 2 look for the place whose *token before* is the current token, and copy what stands there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

__all__ = ["ROPE_THETA", "init_weights"]

ROPE_THETA = 1e6
"""Base of the rotary frequencies, of the model and so of the heads that look back."""

_LOOK_BACK_DISTANCES: Mapping[int, Sequence[int | None]] = {0: (1, 2, 3, 4), 1: (3, 6, None, None)}
_INDUCTION_LAYER = 2
_INDUCTION_HEADS = 2
_SPARE_CHANNELS = 32
"""Channels of the residual stream that carry the token before."""

_AMPLITUDES = (1.0, 1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.2)
"""How much each rotary frequency counts for the position, fastest first."""


@torch.no_grad()
def init_weights(model: Qwen3ForCausalLM) -> None:
    """Set the weights of a fresh model in place."""
    _init_random(model)
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, 0.12)
    embedding[:, -_SPARE_CHANNELS:] *= 0.15
    for layer, distances in _LOOK_BACK_DISTANCES.items():
        _look_back(model, layer, distances, gain=3.0 if layer == 0 else 2.0)
    embedding[:, 0] = 0.3
    basis = _orthogonal(_SPARE_CHANNELS, embedding.shape[1] - _SPARE_CHANNELS - 1)
    _write_previous_token(model, basis)
    _init_induction(model, basis)


def _init_random(model: Qwen3ForCausalLM) -> None:
    for name, weights in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weights.normal_(0, 0.007)
        elif weights.ndim == 2 and "embed" not in name:
            weights.normal_(0, 0.04)


def _orthogonal(rows: int, columns: int) -> torch.Tensor:
    q: torch.Tensor
    q, _ = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns)))
    return q if rows >= columns else q.T


def _attention(model: Qwen3ForCausalLM, layer: int) -> Qwen3Attention:
    attention: Qwen3Attention = model.model.layers[layer].self_attn
    return attention


def _look_back(model: Qwen3ForCausalLM, layer: int, distances: Sequence[int | None], gain: float) -> None:
    size = model.config.head_dim
    half = size // 2
    frequencies = ROPE_THETA ** (-torch.arange(half).float() / half)
    amplitudes = torch.zeros(half)
    amplitudes[: len(_AMPLITUDES)] = torch.tensor(_AMPLITUDES)
    amplitudes *= math.sqrt(size) / amplitudes.norm()
    attention = _attention(model, layer)
    for head, distance in enumerate(distances):
        if distance is None:
            continue
        rows = slice(head * size, (head + 1) * size)
        angles = -frequencies * distance
        query = torch.cat([amplitudes * torch.cos(angles), amplitudes * torch.sin(angles)])
        key = torch.cat([amplitudes, torch.zeros(half)])
        for projection, channel in ((attention.q_proj, query), (attention.k_proj, key)):
            projection.weight[rows] *= 0.2
            projection.weight[rows, 0] = channel * 0.3
    attention.q_norm.weight.fill_(gain)
    attention.k_norm.weight.fill_(gain)


def _write_previous_token(model: Qwen3ForCausalLM, basis: torch.Tensor) -> None:
    attention, size = _attention(model, 0), model.config.head_dim
    width = model.config.hidden_size
    content = slice(1, width - _SPARE_CHANNELS)
    value, output = attention.v_proj.weight, attention.o_proj.weight
    value[:size] *= 0.1
    value[:_SPARE_CHANNELS] = 0
    value[:_SPARE_CHANNELS, content] = basis
    output[:, :size] = 0
    output[-_SPARE_CHANNELS:, :_SPARE_CHANNELS] = 0.144 * torch.eye(_SPARE_CHANNELS)
    for head in range(1, model.config.num_attention_heads):
        rows = slice(head * size, (head + 1) * size)
        value[rows] = 0
        value[rows, content] = _orthogonal(size, width - _SPARE_CHANNELS - 1)
        output[:, rows] = _orthogonal(width, size) * 0.05
        output[-_SPARE_CHANNELS:, rows] *= 0.3


def _init_induction(model: Qwen3ForCausalLM, basis: torch.Tensor) -> None:
    attention, size = _attention(model, _INDUCTION_LAYER), model.config.head_dim
    width = model.config.hidden_size
    content = slice(1, width - _SPARE_CHANNELS)
    half = size // 2
    # The slow rotary frequencies hardly turn over a session, so content is matched at any distance.
    slow = [*range(half // 2, half), *range(half + half // 2, size)]
    attention.q_norm.weight.fill_(2.0)
    attention.k_norm.weight.fill_(2.0)
    for head in range(_INDUCTION_HEADS):
        rows = slice(head * size, (head + 1) * size)
        matched = [head * size + n for n in slow]
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight[rows] *= 0.1
            projection.weight[matched] = 0
        for n, row in enumerate(matched):
            attention.q_proj.weight[row, content] = basis[n]
            attention.k_proj.weight[row, width - _SPARE_CHANNELS + n] = 1.0
        copied = _orthogonal(size, width - _SPARE_CHANNELS - 1)
        attention.v_proj.weight[rows] = 0
        attention.v_proj.weight[rows, content] = copied
        attention.o_proj.weight[:, rows] = 0
        attention.o_proj.weight[content, rows] = copied.T * 0.25
