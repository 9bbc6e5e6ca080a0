"""The interface of a dialect: how to request log-probabilities and text, and how to check a server's numbers."""

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
    """The features of a dialect.

    Attributes:
        token_values: It returns a log-probability for every token, not only sums.
        prefix_reuse: The server may cache prefixes and compute only what follows them.
        reserved_tokens: Tokens of the model's context that a scoring request needs in addition to the sequence.
    """

    token_values: bool = True
    prefix_reuse: bool = False
    reserved_tokens: int = 0


class Check(msgspec.Struct, frozen=True):
    """The outcome of a check that found no inconsistency.

    Attributes:
        tokens: Number of generated tokens that were scored and compared.
        obstacle: Why nothing could be compared, if so.
    """

    tokens: int
    obstacle: str = ""


class ServedModel:
    """One model on one server.

    Attributes:
        transport: The connection to the server.
        name: The served model name.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self.transport = transport
        self.name = name
        self._takes_priorities = True

    async def post(self, path: str, fields: Mapping[str, Any], priority: int | None = None) -> bytes:
        """POST a request for this model; raises as `Transport.post`.

        Args:
            path: Path below the server's root.
            fields: The body, without model and priority.
            priority: Priority for servers that support it (lower is earlier); None omits it.
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
        """POST a request for this model and yield the lines of the response; raises as `Transport.stream`."""
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
        """Stop sending priorities, which are optional, if the server refused the request because of them.

        Raises:
            RefusedError: It refused for another reason.
        """
        if "priorit" not in error.text.lower():
            raise error
        self._takes_priorities = False


class Dialect(ABC):
    """A protocol for scoring with one model on a server. Each method may send several requests.

    Attributes:
        name: Its name in `--dialect`.
        path: The path of its scoring endpoint, for error messages.
        features: Its features.
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
            priority: Priority for servers that support it (lower is earlier).
            second_path: Compute along another path, if the server has one.

        Raises:
            ScorerError: The server refused, or its response does not match the request: some servers ignore unknown
                fields and return status 200.
        """

    @abstractmethod
    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """Yield the ids of a completion as they are generated, up to but excluding the first id in `stop`.

        Ending the iteration early closes the connection, which makes the server stop.

        Raises:
            ScorerError: The server refused, disconnected, or sent no token ids.
        """

    @abstractmethod
    async def check(self, prompt: array[int], tokens: int) -> Check:
        """Generate tokens after a prompt, and compare their reported log-probabilities with their scores.

        Args:
            prompt: At least one id.
            tokens: Number of tokens to generate.

        Raises:
            UntrustedScorerError: They do not agree.
            ScorerError: The server failed. If it only supports scoring, a `Check` with an obstacle is returned.
        """
