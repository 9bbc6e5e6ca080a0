"""Whether a server's numbers can be trusted: a check when it is opened, and again after everything it scores.

When a scorer is opened, its dialect's check compares generated tokens with their scores after prompts of several
lengths. After that a short fixed sequence is scored again behind every request, and the answer to a request is handed
out only once that has given the numbers of the beginning: so whatever leaves this room was followed by a good check.
From time to time the first check is repeated with the beginning of what is being scored, since a server may remember
answers to what it was asked before.
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
"""Generated and compared after each of these prompts."""

_MIN_COMPARED = 8
"""Tokens below which nothing is verified."""

_REFERENCE_LENGTH = 12
"""Tokens of the sequence that is scored behind every request: half a percent of a session of 2,400."""

_REFERENCE_RANGES: tuple[Range, ...] = ((1, 2), (2, 3), (3, 5), (5, _REFERENCE_LENGTH))
"""Of one and of several tokens, as they are asked for; several sums where a server gives no values of tokens."""

_REPEAT_TOKENS = 100_000
"""Tokens scored between two repetitions of the first check."""

_REPEAT_PROMPT = 200
"""Tokens of the prompt in such a repetition, at most."""


def probe_ids(length: int, vocab_size: int | None = None) -> array[int]:
    """Return a sequence of ids that every tokenizer has, without a pattern that a model could guess.

    Args:
        length: How many.
        vocab_size: Ids are below this.
    """
    low, many = (5, 97) if vocab_size is None or vocab_size >= 102 else (0, vocab_size)
    return array("I", (7 * n * n % many + low for n in range(length)))


async def check_numbers(dialect: Dialect, max_tokens: int | None, vocab_size: int | None) -> str:
    """Check a server's numbers as well as it can be done.

    Returns:
        Why they could not be checked; "" when they were, and agree.

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
    """Keeps checking one server while it is in use. Create it with `begin`.

    Attributes:
        expects_these_weights: No check has met other weights since the beginning.
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
        """Take the numbers that the server gives now, right after its check, as those to expect from now on.

        Args:
            dialect: How the server is asked.
            info: Who answers, after its check.
        """
        monitor = cls(dialect, probe_ids(_REFERENCE_LENGTH, info.vocab_size), verified=info.verified)
        scored = await monitor._score()
        monitor._expected, monitor._weights = _numbers(scored), scored.weights
        return monitor

    async def confirm(self, ids: array[int]) -> bool:
        """Wait for a good check that began after this call; requests that end meanwhile share the next one.

        Args:
            ids: The sequence whose scores wait for it.

        Returns:
            Whether the weights are still those of the beginning, as far as numbers tell.

        Raises:
            UntrustedScorerError: The server's numbers contradict themselves.
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
            room = len(ids) - 2 * _TOKENS  # what it generates must fit too
            await self._dialect.check(ids[: max(1, min(room, _REPEAT_PROMPT))], _TOKENS)
        scored = await self._score()
        if scored.weights != self._weights:
            self.weights_unchanged = False
            return True  # the scores say of which weights they are, so that whoever asked will see it
        if agree(zip(self._expected, _numbers(scored), strict=True)):
            return True
        return await self._is_weight_change(scored)

    async def _is_weight_change(self, scored: Scored) -> bool:
        """Tell other weights, with which all numbers are others but agree, from numbers that are wrong."""
        if self._verified and not self._weights:
            await self._dialect.check(self._ids, _TOKENS)
            self.weights_unchanged = False
            return False
        pairs = zip(self._expected, _numbers(scored), strict=True)
        expected, found = max(pairs, key=lambda pair: abs(pair[0] - pair[1]))
        raise UntrustedScorerError(
            f"{self._dialect.served.transport.root}: its numbers changed while it was scoring: the same number was "
            f"{expected:.3f} nats and is {found:.3f} now ({self._dialect.name}); what it answered last is not used"
        )

    async def _score(self) -> Scored:
        return await self._dialect.score(self._ids, _REFERENCE_RANGES)


def _numbers(scored: Scored) -> tuple[float, ...]:
    """Return the values of all tokens, or the sums where there are only these."""
    return tuple(value for values in scored.tokens for value in values) or scored.totals
