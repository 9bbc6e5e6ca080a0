"""What a scorer is to the rest of memscope, whatever server answers.

A scorer takes token ids and ranges and gives log-probabilities. Everything above this package speaks to `Scorer`
only; which dialect stands behind it shows nowhere but in `ScorerInfo`.
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
    """Who answers.

    Attributes:
        kind: "embedded", "memscope" or "vllm": the server behind the address.
        model: The name under which it serves.
        dtype: The arithmetic it says it uses; "" when it does not say.
        url: Its base address, as in `http://host:8000/v1`.
        dialect: The dialect in use.
        weights: A fingerprint of the function from ids to log-probabilities; changes when the weights do.
        root: Where the server says it loaded the model from: a hub name or its own folder; "" when it does not say.
        max_tokens: Longest sequence it scores, in tokens; None when it does not say.
        vocab_size: Ids are below this; None when it does not say.
        reuses_prefixes: Whether a request pays only for what follows the prefix it shares with earlier ones.
        notes: One line each: what the user should know.
        canary: Log-probabilities of a fixed sequence, in nats, where `weights` was made of them.
        verified: Whether the server's scores were compared with what it says of tokens that it generates.
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
    notes: tuple[str, ...] = ()
    canary: tuple[float, ...] = ()
    verified: bool = False

    @property
    def identity(self) -> str:
        """Everything that decides which numbers it gives for some ids; what is remembered is kept under it."""
        return "\0".join((self.model, self.weights, self.dtype, self.dialect))


class Sampling(msgspec.Struct, frozen=True):
    """How to draw tokens when generating."""

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    max_tokens: int = 512
    seed: int = 0


class Scored(msgspec.Struct, frozen=True):
    """The answer to one request.

    Attributes:
        tokens: For each range, the log-probability of each of its tokens in nats, float32; empty where the server
            gives only totals.
        totals: Their sums, in nats.
        forwarded: Tokens the server ran through the model for it; the checks of its numbers are not counted.
        weights: The fingerprint of the weights that answered, or "" when the server does not say.
    """

    tokens: tuple[array[float], ...]
    totals: tuple[float, ...]
    forwarded: int
    weights: str = ""


class Scorer(Protocol):
    """Computes log-probabilities of token sequences. One asyncio loop owns it."""

    @property
    def info(self) -> ScorerInfo:
        """Who answers."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests are worth having under way at once, as of now."""
        ...

    async def score(self, ids: array[int], ranges: Sequence[Range], *, second_path: bool = False) -> Scored:
        """Score ranges of one sequence.

        Args:
            ids: The sequence, unsigned 32-bit.
            ranges: Ascending, non-empty, disjoint.
            second_path: Compute the same numbers along another path, whose rounding differs. Ignored by servers that
                know no other.

        Raises:
            UntrustedScorerError: Its numbers contradict each other; whatever was returned before this is sound.
            ScorerGoneError: The server cannot be reached any more.
            ScorerError: It refused, or its answer is not one.
        """
        ...

    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """Yield the ids of a completion as they are drawn, up to but without the first id of `stop`.

        Raises:
            ScorerError: The server refused, or went away.
        """
        ...

    def note_training(self, job: str) -> None:
        """Take note that a training job changed the weights: the next `refresh` gives them another fingerprint.

        Servers that say a fingerprint themselves need no such note; from numbers alone a small change cannot be told
        from noise.

        Args:
            job: The server's id for it.
        """
        ...

    async def refresh(self) -> ScorerInfo:
        """Ask again who answers: weights change after training."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
