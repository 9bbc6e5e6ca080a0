"""The interface of a scorer, independent of the server.

A scorer takes token ids and ranges and returns log-probabilities. Code outside this package uses only `Scorer`; the
dialect in use is visible only in `ScorerInfo`.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

import msgspec

__all__ = ["Range", "Sampling", "Scored", "Scorer", "ScorerInfo"]

Range = tuple[int, int]
"""[start, end) positions in a sequence of ids; start is at least 1, since the first token has no log-probability."""


class ScorerInfo(msgspec.Struct, frozen=True):
    """The properties of a scorer.

    Attributes:
        kind: The kind of server: "embedded", "memscope" or "vllm".
        model: The served model name.
        dtype: The dtype it reports; "" if it reports none.
        url: Its base URL, as in `http://host:8000/v1`.
        dialect: The dialect in use.
        weights: A fingerprint of the function from ids to log-probabilities, which changes with the weights.
        root: The hub name or folder that the server reports for the model; "" if it reports none.
        max_tokens: Longest sequence it can score, in tokens; None if unknown.
        vocab_size: Ids must be below this; None if unknown.
        reuses_prefixes: Whether a request computes only what follows the prefix shared with earlier requests.
        prefix_cache_tokens: About how many tokens it keeps for that; None if it does not report it.
        notes: Messages to the user, one line each.
        canary: Log-probabilities of a fixed sequence in nats, if `weights` is derived from them.
        verified: Whether its scores were compared with the log-probabilities of tokens that it generated.
    """

    kind: str
    model: str
    dtype: str
    url: str
    dialect: str
    weights: str
    root: str = ""
    max_tokens: int | None = None
    vocab_size: int | None = None
    reuses_prefixes: bool = False
    prefix_cache_tokens: int | None = None
    notes: tuple[str, ...] = ()
    canary: tuple[float, ...] = ()
    verified: bool = False

    @property
    def identity(self) -> str:
        """Everything that determines its numbers for some ids; part of the key of stored scores."""
        return "\0".join((self.model, self.weights, self.dtype, self.dialect))


class Sampling(msgspec.Struct, frozen=True):
    """Sampling parameters for generation."""

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    max_tokens: int = 512
    seed: int = 0


class Scored(msgspec.Struct, frozen=True):
    """The result of one request.

    Attributes:
        tokens: For each range, the log-probability of each token in nats, float32; empty if the server
            returns only totals.
        totals: Their sums, in nats.
        forwarded: Tokens that the server forwarded for the request, not counting checks.
        weights: The fingerprint of the weights used, or "" if the server reports none.
    """

    tokens: tuple[array[float], ...]
    totals: tuple[float, ...]
    forwarded: int
    weights: str = ""


class Scorer(Protocol):
    """Computes log-probabilities of token sequences. Use it on one event loop only."""

    @property
    def info(self) -> ScorerInfo:
        """The properties of the scorer."""
        ...

    @property
    def concurrency(self) -> int:
        """The number of concurrent requests that is currently useful."""
        ...

    async def score(self, ids: array[int], ranges: Sequence[Range], *, second_path: bool = False) -> Scored:
        """Score ranges of one sequence.

        Args:
            ids: The sequence, unsigned 32-bit.
            ranges: Ascending, non-empty, disjoint.
            second_path: Compute the same numbers along another path, with different rounding. Ignored by servers that
                have only one.

        Raises:
            UntrustedScorerError: Its numbers are inconsistent; results returned before are valid.
            ScorerGoneError: The server can no longer be reached.
            ScorerError: It refused the request, or its response is invalid.
        """
        ...

    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """Yield the ids of a completion as they are generated, up to but excluding the first id in `stop`.

        Raises:
            ScorerError: The server refused the request, or the connection broke.
        """
        ...

    def note_training(self, job: str) -> None:
        """Record that a training job changed the weights, so that the next `refresh` changes their fingerprint.

        This matters for servers that report no fingerprint, since from numbers alone a small change cannot be
        distinguished from noise.

        Args:
            job: The server's job id.
        """
        ...

    async def refresh(self) -> ScorerInfo:
        """Update the properties of the scorer: weights change after training."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
