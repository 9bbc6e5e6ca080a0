"""Sending a shipment to a training server so that the ledger is true whatever happens on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from memscope.engines.transport import AnswerLostError, NotSentError, RefusedError, Transport, error_text
from memscope.errors import ScorerError, TrainingError
from memscope.store.ledger import Ledger, Shipment
from memscope.training.samples import TrainingSample, training_data

__all__ = ["Job", "TrainingServer", "reconcile", "ship"]

_PATHS = ("/v1/train", "/train")
_UNCLEAR = (500, 502, 504)
"""Error statuses after which a server may have taken the request all the same."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as the server tells it.

    Attributes:
        id: The server's id.
        status: "queued", "running", "succeeded" or "failed", or the server's own word.
        step: Steps done.
        steps: Steps in all; 0 when the server does not say.
        loss: The newest loss, in nats a token; None while there is none.
        error: Why it failed.
        weights: Fingerprint of the new weights, once it succeeded.
    """

    id: str
    status: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    error: str | None = None
    weights: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("succeeded", "failed", "cancelled")


class TrainingServer:
    """The training side of a server; finds out by itself under which path it is."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._paths = list(_PATHS)

    @property
    def address(self) -> str:
        """Where requests go."""
        return f"{self._transport.root}{self._paths[0]}"

    async def submit(self, samples: Sequence[TrainingSample], model: str, key: str) -> Job:
        """Send samples under an Idempotency-Key.

        Raises:
            NotSentError: Nothing reached the server.
            AnswerLostError: Nobody knows whether the server took it.
            RefusedError: The server refused it.
            TrainingError: The server cannot train, or its answer names no job.
        """
        body = {"model": model, **training_data(samples)}
        while True:
            try:
                answer = await self._transport.post_once(self._paths[0], body, {"Idempotency-Key": key})
                return _accepted(answer)
            except RefusedError as error:
                if error.status not in (404, 405):
                    raise
                if len(self._paths) == 1:
                    raise TrainingError(_CANNOT.format(root=self._transport.root)) from error
                self._paths.pop(0)

    async def job(self, name: str) -> Job:
        """Return a job's state.

        Raises:
            ScorerError: The server does not say.
        """
        return _job(await self._transport.get(f"{self._paths[0]}/{name}"), name)

    async def find(self, key: str) -> Job | None:
        """Return the job that a server took under a key; None when it has none or keeps no list.

        Raises:
            ScorerError: The server cannot be asked.
        """
        for path in self._paths:
            try:
                answer = await self._transport.get(path)
            except RefusedError:
                continue
            listed = answer.get("jobs") or answer.get("data") if isinstance(answer, dict) else answer
            for entry in listed if isinstance(listed, list) else ():
                if isinstance(entry, dict) and entry.get("idempotency_key") == key:
                    return _job(entry, None)
        return None


_CANNOT = (
    "{root} cannot train: it has neither /v1/train nor /train; memscope serve can "
    "(memscope serve --model …), or write the samples to a file with memscope export"
)


async def ship(ledger: Ledger, server: TrainingServer, key: str, samples: Sequence[TrainingSample], model: str) -> Job:
    """Send a prepared shipment and write every step into the ledger before anything that depends on it.

    Raises:
        TrainingError: It was refused, failed, or is in doubt; the ledger says which.
        StoreError: The ledger cannot be written: nothing was sent, or the shipment is in doubt.
    """
    ledger.sent(key)
    try:
        job = await server.submit(samples, model, key)
    except NotSentError as error:
        ledger.failed(key, str(error))
        raise TrainingError(f"{error}: nothing was sent") from error
    except AnswerLostError as error:
        job = await _in_doubt(ledger, server, key, error)
    except RefusedError as error:
        if error.status in _UNCLEAR:
            job = await _in_doubt(ledger, server, key, error)
        else:
            ledger.failed(key, str(error))
            raise TrainingError(str(error)) from error
    except TrainingError as error:
        if (job_or_none := await _found(server, key)) is None:
            ledger.failed(key, str(error))
            raise
        job = job_or_none
    except BaseException:
        ledger.doubt(key, "memscope was interrupted before the server answered")
        raise
    ledger.accepted(key, job.id)
    return job


async def reconcile(ledger: Ledger, server: TrainingServer, shipment: Shipment) -> Job | None:
    """Ask the server about a shipment in doubt; what it took counts as accepted from now on.

    Raises:
        ScorerError: The server cannot be asked.
    """
    job = await server.find(shipment.key)
    if job is not None:
        ledger.accepted(shipment.key, job.id)
    return job


async def _in_doubt(ledger: Ledger, server: TrainingServer, key: str, error: Exception) -> Job:
    ledger.doubt(key, str(error))
    if (job := await _found(server, key)) is not None:
        return job
    raise TrainingError(
        f"{error}; the server may have taken it: it is in doubt, and not sent again by itself"
    ) from error


async def _found(server: TrainingServer, key: str) -> Job | None:
    try:
        return await server.find(key)
    except ScorerError:
        return None


def _accepted(body: bytes) -> Job:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise TrainingError(f"the training server's answer is not JSON: {body[:80]!r}") from error
    if isinstance(answer, dict) and answer.get("error"):
        raise TrainingError(f"the training server answered with an error: {error_text(body, 200)}")
    if not isinstance(answer, dict) or not isinstance(answer.get("job_id"), str | int) or answer.get("job_id") == "":
        raise TrainingError(f"the training server's answer names no job: {body[:80]!r}")
    return _job(answer, None)


def _job(answer: Any, name: str | None) -> Job:
    if not isinstance(answer, dict):
        raise ScorerError(f"the training server's answer is no job: {answer!r:.80}")
    result = answer.get("result")
    error = answer.get("error")
    return Job(
        id=str(answer.get("job_id", answer.get("id", name))),
        status=str(answer.get("status", "unknown")),
        step=_whole(answer.get("step")),
        steps=_whole(answer.get("steps")),
        loss=float(answer["loss"]) if isinstance(answer.get("loss"), int | float) else None,
        error=error.get("message") if isinstance(error, Mapping) else error,
        weights=result.get("weights") if isinstance(result, Mapping) else None,
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
