"""Check whether a model's results for a position are bit-identical however many positions are computed together.

Rounding depends on the algorithm, which libraries choose by shape. Larger forwards are faster, so this checks whether
they can be used: every linear layer is tried with each number of rows that will occur (an algorithm is chosen by
shape, never by content), the rest of the model with two granules together and one by one. Elementwise functions round
alike as long as threads split the work at multiples of a vector, which is required of the widths.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.network import HEAD_BLOCK, Network
from memscope.server.compute.passes import ChunkedPass, ChunkGrid

__all__ = ["body_is_row_invariant", "head_rows"]

_MAX_THREADS = 8
_WIDTHS = 16
"""Widths are multiples of this: a granule's share of a thread is then one of the longest vector of any dtype."""
_ROWS = (256, 64)
"""Positions that the head takes at once where that changes nothing, descending."""


def body_is_row_invariant(network: Network, granule: int, span: int, ids: Ids) -> bool:
    """Say whether forwards of up to `span` positions give the bits of forwards of one granule.

    Args:
        network: The model, on its path.
        granule: Positions of the smallest forward.
        span: Positions of the largest one, a multiple of `granule`.
        ids: At least two granules of ids to try it with.
    """
    model = network.model
    if not network.split or not _shares_are_whole_vectors(model) or not _linear_layers_alone_mix(model):
        return False
    sizes = range(2 * granule, span + 1, granule)
    layers = {(tuple(layer.weight.shape), layer.bias is None): layer for layer in _linear_layers(model)}
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    tried = (layer for layer in layers.values() if layer is not head)
    return all(_linear_is_invariant(layer, granule, sizes) for layer in tried) and torch.equal(
        _hidden(network, ChunkGrid(granule, granule), ids), _hidden(network, ChunkGrid(granule, span), ids)
    )


def head_rows(network: Network) -> tuple[int, ...]:
    """Return how many positions the head may take at once without changing a bit of what single blocks give."""
    if not network.split:
        return (HEAD_BLOCK,)
    width = network.hidden(np.zeros(1, dtype=np.int64))[0]
    hidden = torch.rand(_ROWS[0], width.shape[-1], generator=torch.Generator().manual_seed(3)).to(width)
    blocks = torch.cat([network.logits(block) for block in torch.split(hidden, HEAD_BLOCK)])
    return (*(rows for rows in _ROWS if torch.equal(network.logits(hidden[:rows]), blocks[:rows])), HEAD_BLOCK)


def _linear_layers(model: PreTrainedModel) -> list[torch.nn.Linear]:
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)]


def _shares_are_whole_vectors(model: PreTrainedModel) -> bool:
    threads = torch.get_num_threads()
    powers = threads & (threads - 1) == 0 and threads <= _MAX_THREADS
    return powers and all(size % _WIDTHS == 0 for layer in _linear_layers(model) for size in layer.weight.shape)


def _linear_layers_alone_mix(model: PreTrainedModel) -> bool:
    """Say whether every matrix belongs to a linear layer or an embedding (experts, convolutions hold others)."""
    own = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Linear | torch.nn.Embedding)}
    return all(id(parameter) in own for parameter in model.parameters() if parameter.ndim > 1)


def _linear_is_invariant(layer: torch.nn.Linear, granule: int, sizes: range) -> bool:
    rows = torch.rand(sizes[-1], layer.in_features, generator=torch.Generator().manual_seed(5)).to(layer.weight)
    # As a model gives them: with a batch dimension.
    expected = torch.cat([layer(part[None])[0] for part in torch.split(rows, granule)])
    return all(torch.equal(layer(rows[None, :size])[0], expected[:size]) for size in sizes)


def _hidden(network: Network, grid: ChunkGrid, ids: Ids) -> torch.Tensor:
    work = ChunkedPass(network, grid, PrefixStore(0), ids, first=0)
    return torch.cat([logits for _, logits in work.outputs(len(ids), np.arange(len(ids)))])
