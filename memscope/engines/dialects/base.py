"""What a dialect is: one way to ask a server for log-probabilities, for text, and for proof of its numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from memscope.engines.base import Range, Sampling, Scored
from memscope.engines.transport import RefusedError, Transport

__all__ = ["Check", "Dialect", "Features", "ServedModel"]


class Features(msgspec.Struct, frozen=True):
    """What a dialect can do.

    Attributes:
        token_values: It gives a log-probability for every token, not only sums.
        prefix_reuse: The server may keep computed prefixes and compute only what follows them.
        reserved_tokens: Tokens of the model's context that a scoring request takes beside the sequence.
    """

    token_values: bool = True
    prefix_reuse: bool = False
    reserved_tokens: int = 0


class Check(msgspec.Struct, frozen=True):
    """The outcome of a check that found no contradiction.

    Attributes:
        tokens: How many generated tokens were scored and compared.
        obstacle: Why there was nothing to compare, where that is so.
    """

    tokens: int
    obstacle: str = ""


class ServedModel:
    """One model on one server.

    Attributes:
        transport: The connection to the server.
        name: The name under which the model is served.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self.transport = transport
        self.name = name
        self._takes_priorities = True

    async def post(self, path: str, fields: Mapping[str, Any], priority: int | None = None) -> bytes:
        """POST a request for this model; errors as in `Transport.post`.

        Args:
            path: Below the server's root.
            fields: The body, but for the model and the priority.
            priority: Where the server has priorities, lower is earlier; None leaves it out.
        """
        body = {"model": self.name, **fields}
        if priority is None or not self._takes_priorities:
            return await self.transport.post(path, body)
        try:
            return await self.transport.post(path, {**body, "priority": priority})
        except RefusedError as error:
            self._forget_priorities(error)
            return await self.transport.post(path, body)

    async def stream(
        self, path: str, fields: Mapping[str, Any], *, seconds: float, priority: int | None = None
    ) -> AsyncIterator[bytes]:
        """POST a request for this model and yield the lines of the answer; errors as in `Transport.stream`."""
        body = {"model": self.name, **fields}
        if priority is not None and self._takes_priorities:
            try:
                async for line in self.transport.stream(path, {**body, "priority": priority}, seconds=seconds):
                    yield line
                return
            except RefusedError as error:
                self._forget_priorities(error)
        async for line in self.transport.stream(path, body, seconds=seconds):
            yield line

    def _forget_priorities(self, error: RefusedError) -> None:
        """Send no priority from now on if it is what the server refused: it is a courtesy.

        Raises:
            RefusedError: It refused something else.
        """
        if "priorit" not in error.text.lower():
            raise error
        self._takes_priorities = False


class Dialect(ABC):
    """One way to speak to a server about one model. Each method may send as many requests as it needs.

    Attributes:
        name: What `--dialect` calls it.
        path: Where it scores, for error lines.
        features: What it can do.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    features: ClassVar[Features] = Features()

    def __init__(self, served: ServedModel) -> None:
        self.served = served

    @abstractmethod
    async def score(
        self, ids: array[int], ranges: Sequence[Range], *, priority: int | None = None, second_path: bool = False
    ) -> Scored:
        """Score ranges of one sequence.

        Args:
            ids: The sequence.
            ranges: Ascending, non-empty, disjoint.
            priority: Lower is earlier, where the server has priorities.
            second_path: Compute along another path, where the server knows one.

        Raises:
            ScorerError: The server refused, or what it answered is not the answer to this request: servers ignore
                unknown fields with status 200.
        """

    @abstractmethod
    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """Yield the ids of a completion as they are drawn, up to but without the first id of `stop`.

        Ending the iteration early closes the connection, which makes the server stop.

        Raises:
            ScorerError: The server refused, went away, or sent no token ids.
        """

    @abstractmethod
    async def check(self, prompt: array[int], tokens: int) -> Check:
        """Have the server generate tokens after a prompt, and compare what it says of them with how it scores them.

        Args:
            prompt: At least one id.
            tokens: How many tokens to generate.

        Raises:
            UntrustedScorerError: The two do not agree.
            ScorerError: The server failed; one that only scores is no error, but a `Check` with an obstacle.
        """
