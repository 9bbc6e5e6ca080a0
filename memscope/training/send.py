"""Send a shipment to a training server, keeping the ledger correct through failures, cancellation and kills."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from memscope.engines.decoding import error_text
from memscope.engines.transport import AnswerLostError, NotSentError, RefusedError, TimedOutError, Transport
from memscope.errors import ScorerError, ScorerGoneError, StoreError, TrainingError
from memscope.store.ledger import Ledger, Shipment

__all__ = ["TrainingJob", "TrainingServer", "conclude", "reconcile", "ship"]

_PATHS = ("/v1/train", "/train")
_REQUEST_TIMEOUT = 408
"""The status of a proxy that timed out: the server behind it may have accepted the request."""

_MAX_SERVER_ERRORS = 5
"""A job is no longer followed after more server errors (5xx) in a row than this."""

_ABSENT = (404, 405)
"""Error statuses of a path that the server does not have."""
_NOT_ACCEPTED = (501, 503, 505)
"""Server errors that mean the request was not accepted; after any other it may have been."""
_POLL_SECONDS = (0.3, 3.0)
"""How long to wait before asking for a job's state again: at first, and at most."""
_STATUSES = {
    "complete": "succeeded",
    "completed": "succeeded",
    "done": "succeeded",
    "finished": "succeeded",
    "success": "succeeded",
    "error": "failed",
    "canceled": "cancelled",
}
"""Other servers' names for the final states of a job."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """The state of a training job as the server reports it.

    Attributes:
        id: The server's id.
        status: "queued", "running", "succeeded" or "failed", or the server's own word.
        step: Steps done.
        steps: Steps in total; 0 when the server does not say.
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
    """The training API of a server, at whichever of the two paths it provides."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._paths = list(_PATHS)

    @property
    def address(self) -> str:
        """The URL that requests are sent to."""
        return f"{self._transport.root}{self._paths[0]}"

    async def submit(self, body: Mapping[str, Any], key: str) -> TrainingJob:
        """Send a training request with an Idempotency-Key.

        Raises:
            NotSentError: Nothing reached the server.
            AnswerLostError: It is unknown whether the server accepted it, or as which job.
            RefusedError: The server refused it.
            TrainingError: The server cannot train, or returned an error.
        """
        while True:
            try:
                answer = await self._transport.post_once(self._paths[0], body, {"Idempotency-Key": key})
                return _accepted(answer)
            except RefusedError as error:
                if error.status not in _ABSENT:
                    raise
                if len(self._paths) == 1:
                    raise TrainingError(_CANNOT_TRAIN.format(root=self._transport.root, said=error.text)) from error
                self._paths.pop(0)

    async def job(self, name: str) -> TrainingJob:
        """Return the state of a job.

        Raises:
            ScorerError: The server does not report it.
        """
        for path in self._paths:
            try:
                return _job(await self._transport.get(f"{path}/{quote(name, safe='')}"), name)
            except RefusedError as error:
                if error.status not in _ABSENT or path == self._paths[-1]:
                    raise
        raise AssertionError("unreachable")

    async def progress(self, job: TrainingJob) -> AsyncIterator[TrainingJob]:
        """Yield a job now, after every change, and when it ends; stops early if the server reports no state.

        Raises:
            RefusedError: The server does not know the job, or no longer does.
            ScorerGoneError: The server can no longer be reached.
        """
        pause, longest = _POLL_SECONDS
        errors = 0
        yield job
        while not job.ended:
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, longest)
            try:
                newer = await self.job(job.id)
            except TimedOutError:
                continue  # a server that is busy training may be slow to answer
            except RefusedError as error:
                errors += 1
                if error.status < 500 or errors > _MAX_SERVER_ERRORS:
                    raise
                continue
            errors = 0
            if newer != job:
                job = newer
                yield job
            if job.status == "unknown":
                return

    async def find(self, key: str) -> TrainingJob | None:
        """Return the job that a server accepted under a key; None if there is none or the server keeps no list.

        Raises:
            ScorerError: The server cannot be queried.
        """
        for path in self._paths:
            try:
                answer = await self._transport.get(path)
            except RefusedError:
                continue
            listed = answer.get("jobs") or answer.get("data") if isinstance(answer, dict) else answer
            for entry in listed if isinstance(listed, list) else ():
                if isinstance(entry, dict) and entry.get("idempotency_key") == key and (name := _job_id(entry)):
                    return _job(entry, name)
        return None


_CANNOT_TRAIN = (
    "{root} cannot train: it has neither /v1/train nor /train ({said}); use memscope serve "
    "(memscope serve --model …), or write the samples to a file with memscope export"
)


async def ship(ledger: Ledger, server: TrainingServer, key: str, body: Mapping[str, Any]) -> TrainingJob:
    """Send a prepared shipment, recording every step in the ledger before anything that depends on it.

    Raises:
        TrainingError: It was refused, failed, or is in doubt, as recorded in the ledger.
        StoreError: The ledger cannot be written: nothing was sent, or the message says what was sent and is in doubt.
    """
    await _mark_sent(ledger, key)
    try:
        job = await _submitted(ledger, server, key, body)
    except (TrainingError, StoreError, GeneratorExit):
        raise
    except BaseException:
        with contextlib.suppress(TrainingError):  # the outcome is already recorded
            await ledger.database.run(ledger.mark_in_doubt, key, "memscope was interrupted before the server answered")
        raise
    try:
        await ledger.database.run(ledger.mark_accepted, key, job.id)
    except StoreError as error:
        raise StoreError(
            f"the server accepted it as job {job.id}, which could not be recorded: {error}; {_IN_DOUBT_NOTE}"
        ) from error
    return job


async def _mark_sent(ledger: Ledger, key: str) -> None:
    try:
        await ledger.database.run(ledger.mark_sent, key)
    except StoreError as error:
        raise StoreError(f"{error}: nothing was sent") from error
    except asyncio.CancelledError:
        await ledger.database.run(ledger.withdraw, key)
        raise


async def _submitted(ledger: Ledger, server: TrainingServer, key: str, body: Mapping[str, Any]) -> TrainingJob:
    try:
        return await server.submit(body, key)
    except NotSentError as error:
        await _write(ledger, ledger.mark_failed, key, f"{error}: nothing was sent")
        raise TrainingError(f"{error}: nothing was sent") from error
    except ScorerGoneError as error:
        return await _in_doubt(ledger, server, key, error)
    except RefusedError as error:
        if (error.status < 500 and error.status != _REQUEST_TIMEOUT) or error.status in _NOT_ACCEPTED:
            await _write(ledger, ledger.mark_failed, key, str(error))
            raise TrainingError(str(error)) from error
        return await _in_doubt(ledger, server, key, error)
    except TrainingError as error:
        if (taken := await _find_job(server, key)) is None:
            await _write(ledger, ledger.mark_failed, key, str(error))
            raise
        return taken


_IN_DOUBT_NOTE = "it is in doubt until memscope asks the server about it on its next start"


async def _write(ledger: Ledger, mark: Callable[[str, str], None], key: str, why: str) -> None:
    try:
        await ledger.database.run(mark, key, why)
    except StoreError as error:
        raise StoreError(f"{why}; this could not be recorded: {error}; {_IN_DOUBT_NOTE}") from error


async def reconcile(ledger: Ledger, server: TrainingServer, shipment: Shipment) -> TrainingJob | None:
    """Ask the server about a shipment that is in doubt or accepted, and record the answer in the ledger.

    Returns:
        The job; None if the server knows of none, or the shipment is in another state.

    Raises:
        ScorerError: The server cannot be queried.
    """
    if shipment.state == "in doubt":
        if (job := await server.find(shipment.key)) is None:
            return None
        await ledger.database.run(ledger.mark_accepted, shipment.key, job.id)
    elif shipment.state == "accepted" and shipment.job is not None:
        job = await server.job(shipment.job)
    else:
        return None
    if job.ended:
        await conclude(ledger, shipment.key, job)
    return job


async def conclude(ledger: Ledger, key: str, job: TrainingJob) -> None:
    """Record the outcome of a job in the ledger."""
    if job.status == "succeeded":
        await ledger.database.run(ledger.mark_succeeded, key)
    else:
        await ledger.database.run(ledger.mark_failed, key, job.error or f"the job {job.status}")


async def _in_doubt(ledger: Ledger, server: TrainingServer, key: str, error: Exception) -> TrainingJob:
    await _write(ledger, ledger.mark_in_doubt, key, str(error))
    if (job := await _find_job(server, key)) is not None:
        return job
    raise TrainingError(
        f"{error}; the server may have accepted it: it is in doubt and will not be sent again unless you insist"
    ) from error


async def _find_job(server: TrainingServer, key: str) -> TrainingJob | None:
    try:
        return await server.find(key)
    except ScorerError:
        return None


def _accepted(body: bytes) -> TrainingJob:
    """Return the job in a successful response to a training request.

    A response without a usable id may still mean that the server accepted the request, so it is in doubt. Only a
    response that reports an error, and no job, counts as a refusal.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerLostError(f"the training server's answer is not JSON: {body[:80]!r}") from error
    name = _job_id(answer)
    if isinstance(answer, dict) and answer.get("error"):
        said = f"the training server answered with an error: {error_text(body, 200)}"
        raise TrainingError(said) if name is None else AnswerLostError(f"{said}, and with job {name}")
    if name is None:
        raise AnswerLostError(f"the training server's answer names no job: {body[:80]!r}")
    return _job(answer, name)


def _job_id(answer: Any) -> str | None:
    """Return the job id in a response; None if there is none, or if it is ambiguous."""
    if not isinstance(answer, dict):
        return None
    if named := _usable_id(answer.get("job_id")) or _usable_id(answer.get("jobId")):
        return named
    found = {_usable_id(answer.get("id"))}
    for inner in (answer.get("job"), answer.get("data")):
        if isinstance(inner, dict):
            found.add(_usable_id(inner.get("job_id")) or _usable_id(inner.get("id")))
    found.discard(None)
    return found.pop() if len(found) == 1 else None


def _usable_id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _job(answer: Any, name: str) -> TrainingJob:
    if not isinstance(answer, dict):
        raise ScorerError(f"the training server's answer is no job: {answer!r:.80}")
    result, loss = answer.get("result"), answer.get("loss")
    status = given if isinstance(given := answer.get("status"), str) and given else "unknown"
    return TrainingJob(
        id=name,
        status=_STATUSES.get(status.lower(), status),
        step=_int_or_zero(answer.get("step")),
        steps=_int_or_zero(answer.get("steps")),
        loss=_nats(loss),
        error=error_text(msgspec.json.encode(answer), 500) if answer.get("error") else None,
        weights=result.get("weights") if isinstance(result, Mapping) else None,
    )


def _nats(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _int_or_zero(value: Any) -> int:
    return value if isinstance(value, int) else 0
