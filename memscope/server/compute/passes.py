"""Forward passes over one sequence: in chunks after a shared prefix, in chunks from the start, or as a whole.

Invariant: the result for a position depends only on the ids, to the last bit, and never on what was cached, requested,
or computed before. Rounding depends on the shapes of matrix products, so:

- a sequence is computed in granules whose edges are multiples of the granule in the sequence, each one whole: past the
  position that is needed it is filled with the sequence's next ids, past its end with zeros;
- a stored prefix is reused up to the last granule's edge that it reaches;
- several granules go through the model at once only where that was found to give the same bits (`paths`);
- the head runs in blocks that lie on a grid of the sequence as well.

An output position `p` predicts the token at `p + 1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from memscope.server.compute.kv import Ids, KVSequence, PrefixStore, cut_cache, new_cache
from memscope.server.compute.network import HEAD_BLOCK, ModelState, Network

__all__ = ["ChunkGrid", "ChunkedPass", "ForwardPass", "Outputs", "WholePass"]

Outputs = tuple[torch.Tensor, torch.Tensor]
"""Output positions (rows,) and their float32 logits (rows, vocabulary), in whole blocks of `HEAD_BLOCK`."""


class ChunkGrid:
    """How sequences are cut into chunks.

    Attributes:
        granule: Edges are multiples of this many tokens.
        span: Tokens that go through the model at once at most; a multiple of `granule`.
        limit: Positions that the model has; None without a limit. The last granule ends here.
    """

    def __init__(self, granule: int, span: int, limit: int | None = None) -> None:
        self.granule = granule
        self.span = span
        self.limit = limit

    def below(self, position: int) -> int:
        """Return the last edge at or below a position."""
        return position // self.granule * self.granule

    def above(self, position: int) -> int:
        """Return the first edge at or above a position."""
        edge = -(-position // self.granule) * self.granule
        return edge if self.limit is None or position > self.limit else min(edge, self.limit)

    def next(self, start: int, end: int) -> int:
        """Return where the chunk that begins at `start` stops, when all before `end` is needed."""
        stop = min(start + self.span, self.above(end))
        # A granule that the limit cuts short has a shape of its own and goes alone.
        return stop if stop % self.granule == 0 or stop - start <= self.granule else self.below(stop)


class ForwardPass(Protocol):
    """What scoring and generation need of a pass.

    Attributes:
        cached: Number of tokens whose keys and values came from the store.
        computed: Tokens forwarded so far; filling past the sequence's end does not count.
    """

    cached: int
    computed: int

    def outputs(self, end: int, wanted: Ids) -> Iterator[Outputs]:
        """Forward up to position `end` (exclusive).

        Args:
            end: First position that need not be forwarded.
            wanted: Ascending output positions below `end`, not yet forwarded.

        Yields:
            Blocks of positions that hold the wanted ones, and maybe others; or none, between two steps of work.
        """
        ...

    def append(self, token: int) -> torch.Tensor:
        """Add one token to the sequence, forward it, and return its next-token logits (vocabulary,), float32."""
        ...

    def keep(self) -> None:
        """Put the result into the store, for later sequences with the same prefix."""
        ...


class ChunkedPass:
    """A pass in chunks, after the longest stored prefix where there is a store."""

    def __init__(self, network: Network, grid: ChunkGrid, store: PrefixStore | None, ids: Ids, *, first: int) -> None:
        """Prepare a pass; nothing is computed yet.

        Args:
            network: The model.
            grid: How sequences are cut into chunks.
            store: The cache of prefixes; None computes from the start with the model's own cache.
            ids: The whole sequence.
            first: First output position needed: it must be forwarded even if its keys are known.
        """
        self._network, self._grid, self._store, self._ids = network, grid, store, ids
        self.computed = 0
        self.cached = 0
        self._done = 0
        self._appended = 0
        self._state: ModelState = None
        if store is not None:
            source, shared = store.longest_prefix(ids)
            self.cached = self._done = grid.below(min(shared, first))
            self._state = new_cache(-(-len(ids) // grid.granule) * grid.granule, source, self.cached)

    def outputs(self, end: int, wanted: Ids) -> Iterator[Outputs]:
        """See `ForwardPass.outputs`."""
        while self._done < end:
            start, stop = self._done, self._grid.next(self._done, end)
            hidden, self._state = self._network.hidden(self._padded(start, stop), self._state, keep_state=True)
            self._done = stop
            self.computed += min(stop, len(self._ids)) - start
            here = wanted[(wanted >= start) & (wanted < stop)]
            yield from _head_blocks(self._network, hidden, start, here)

    def append(self, token: int) -> torch.Tensor:
        """See `ForwardPass.append`."""
        if not self._appended:
            cut_cache(self._state, len(self._ids))
        self._appended += 1
        self.computed += 1
        hidden, self._state = self._network.hidden(np.array([token]), self._state, keep_state=True)
        return self._network.logits(hidden)[0]

    def keep(self) -> None:
        """See `ForwardPass.keep`. Granules of other shapes (padded, or token by token) are not kept."""
        whole = min(self._grid.below(len(self._ids)), self._done)
        if self._store is not None and whole > self.cached:
            self._store.add(KVSequence(self._ids[:whole], self._state))

    def _padded(self, start: int, stop: int) -> Ids:
        ids = self._ids[start:stop]
        return ids if len(ids) == stop - start else np.pad(ids, (0, stop - start - len(ids)))


class WholePass:
    """A pass over the whole sequence without reuse, for models whose computation cannot be split."""

    cached = 0

    def __init__(self, network: Network, ids: Ids, *, padding: int = 0) -> None:
        """Prepare a pass; nothing is computed yet.

        Args:
            network: The model.
            ids: The whole sequence.
            padding: Tokens forwarded after those needed, which changes the shape of every product.
        """
        self.computed = 0
        self._network, self._ids, self._padding = network, ids, padding
        self._state: ModelState = None

    def outputs(self, end: int, wanted: Ids) -> Iterator[Outputs]:
        """See `ForwardPass.outputs`."""
        ids = np.pad(self._ids[:end], (0, self._padding))
        # If only the last output is needed, a text will be generated from the model's own state.
        hidden, self._state = self._network.hidden(ids, keep_state=len(wanted) == 1 and end == len(self._ids))
        self.computed += len(ids)
        yield from _head_blocks(self._network, hidden, 0, wanted)

    def append(self, token: int) -> torch.Tensor:
        """See `ForwardPass.append`. The model's own cache carries the state; without one all is forwarded again."""
        self._ids = np.append(self._ids, token)
        ids = self._ids if self._state is None else self._ids[-1:]
        self.computed += len(ids)
        hidden, self._state = self._network.hidden(ids, self._state, keep_state=True)
        return self._network.logits(hidden[-1:])[0]

    def keep(self) -> None:
        """See `ForwardPass.keep`: nothing can be shared."""


def _head_blocks(network: Network, hidden: torch.Tensor, start: int, wanted: Ids) -> Iterator[Outputs]:
    """Yield the head's blocks that contain the wanted positions; `hidden` begins at position `start`."""
    firsts = np.unique(wanted // HEAD_BLOCK) * HEAD_BLOCK
    positions = (firsts[:, None] + np.arange(HEAD_BLOCK)).reshape(-1)
    if not len(positions):
        yield torch.empty(0, dtype=torch.long), hidden.new_empty(0, 0, dtype=torch.float32)
    while len(positions):
        size = next(size for size in network.rows if size <= len(positions))
        chosen, positions = torch.from_numpy(positions[:size]), positions[size:]
        # Past the chunk's ends the nearest row fills the block: nobody asked for those positions.
        rows = (chosen - start).clamp(0, len(hidden) - 1).to(hidden.device)
        yield chosen, network.logits(hidden[rows])
