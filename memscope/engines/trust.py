"""Check whether a server's numbers can be trusted, when it is opened and after every request.

When a scorer is opened, the check of its dialect compares generated tokens with their scores after prompts of several
lengths. After that, a short fixed sequence is scored after every request, and the result of a request is returned only
if this gives the same numbers as at the beginning. So every returned result was followed by a successful check.
From time to time the first check is repeated with the beginning of a scored sequence, since a server may have cached
its responses to earlier requests.
"""

from __future__ import annotations

import asyncio
from array import array

from memscope.engines.base import Range, Scored, ScorerInfo
from memscope.engines.dialects import Dialect
from memscope.engines.logprobs import agree
from memscope.errors import UntrustedScorerError

__all__ = ["TrustMonitor", "check_numbers", "probe_ids"]

_PROMPT_LENGTHS = (3, 17, 120)
_TOKENS = 4
"""Number of tokens generated and compared after each of these prompts."""

_MIN_COMPARED = 8
"""Minimum number of compared tokens for a verified scorer."""

_REFERENCE_LENGTH = 12
"""Length of the sequence that is scored after every request: half a percent of a session of 2,400 tokens."""

_REFERENCE_RANGES: tuple[Range, ...] = ((1, 2), (2, 3), (3, 5), (5, _REFERENCE_LENGTH))
"""Ranges of one and of several tokens, as in real requests; they give several sums if there are no token values."""

_REPEAT_TOKENS = 100_000
"""Number of tokens scored between two repetitions of the first check."""

_REPEAT_PROMPT = 200
"""Maximum length of the prompt in such a repetition."""


def probe_ids(length: int, vocab_size: int | None = None) -> array[int]:
    """Return a sequence of ids that are valid for every tokenizer, without a predictable pattern.

    Args:
        length: Number of ids.
        vocab_size: Ids must be below this.
    """
    low, many = (5, 97) if vocab_size is None or vocab_size >= 102 else (0, vocab_size)
    return array("I", (7 * n * n % many + low for n in range(length)))


async def check_numbers(dialect: Dialect, max_tokens: int | None, vocab_size: int | None) -> str:
    """Check a server's numbers as far as possible.

    Returns:
        Why they could not be checked; "" if they were checked and agree.

    Raises:
        UntrustedScorerError: They do not agree.
    """
    longest = None if max_tokens is None else max_tokens - 2 * _TOKENS
    compared = 0
    for length in _PROMPT_LENGTHS:
        if longest is not None and length > max(longest, _PROMPT_LENGTHS[0]):
            break
        check = await dialect.check(probe_ids(length, vocab_size), _TOKENS)
        if check.obstacle:
            return check.obstacle
        compared += check.tokens
    return "" if compared >= _MIN_COMPARED else f"only {compared} generated tokens could be compared"


class TrustMonitor:
    """Checks one server while it is in use. Create it with `begin`.

    Attributes:
        weights_unchanged: Whether no check has found other weights so far.
    """

    def __init__(self, dialect: Dialect, ids: array[int], *, verified: bool) -> None:
        self.weights_unchanged = True
        self._dialect = dialect
        self._ids = ids
        self._expected: tuple[float, ...] = ()
        self._weights = ""
        self._verified = verified
        self._lock = asyncio.Lock()
        self._begun = self._passed = 0
        self._scored_tokens = 0
        self._failure: UntrustedScorerError | None = None

    @classmethod
    async def begin(cls, dialect: Dialect, info: ScorerInfo) -> TrustMonitor:
        """Record the numbers that the server returns now, right after its check, as the expected ones.

        Args:
            dialect: The dialect.
            info: The properties of the scorer, after its check.
        """
        monitor = cls(dialect, probe_ids(_REFERENCE_LENGTH, info.vocab_size), verified=info.verified)
        scored = await monitor._score()
        monitor._expected, monitor._weights = _numbers(scored), scored.weights
        return monitor

    async def confirm(self, ids: array[int]) -> bool:
        """Wait for a successful check that started after this call; concurrent requests share it.

        Args:
            ids: The sequence that was scored.

        Returns:
            Whether the weights appear to be unchanged since the beginning.

        Raises:
            UntrustedScorerError: The server's numbers are inconsistent.
        """
        wanted = self._begun + 1
        self._scored_tokens += len(ids)
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._passed >= wanted:
                return True
            self._begun = number = self._begun + 1
            try:
                unchanged = await self._check(ids)
            except UntrustedScorerError as failure:
                self._failure = failure
                raise
            self._passed = number if unchanged else self._passed
            return unchanged

    async def _check(self, ids: array[int]) -> bool:
        if self._scored_tokens >= _REPEAT_TOKENS:
            self._scored_tokens = 0
            room = len(ids) - 2 * _TOKENS  # generated tokens must fit too
            await self._dialect.check(ids[: max(1, min(room, _REPEAT_PROMPT))], _TOKENS)
        scored = await self._score()
        if scored.weights != self._weights:
            self.weights_unchanged = False
            return True  # scores carry the fingerprint of their weights, so the caller will notice
        if agree(zip(self._expected, _numbers(scored), strict=True)):
            return True
        return await self._is_weight_change(scored)

    async def _is_weight_change(self, scored: Scored) -> bool:
        """Return whether changed numbers are explained by other weights, whose numbers are consistent."""
        if self._verified and not self._weights:
            await self._dialect.check(self._ids, _TOKENS)
            self.weights_unchanged = False
            return False
        pairs = zip(self._expected, _numbers(scored), strict=True)
        expected, found = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
        raise UntrustedScorerError(
            f"{self._dialect.served.transport.root}: its numbers changed during scoring: the same value was "
            f"{expected:.3f} nats and is now {found:.3f} ({self._dialect.name}); its last results were discarded"
        )

    async def _score(self) -> Scored:
        return await self._dialect.score(self._ids, _REFERENCE_RANGES)


def _numbers(scored: Scored) -> tuple[float, ...]:
    """Return the values of all tokens, or the sums if there are no token values."""
    return tuple(value for values in scored.tokens for value in values) or scored.totals
