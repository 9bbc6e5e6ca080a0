"""The queue of training jobs. Jobs run one at a time and stay listed until the server exits.

A job trains a copy of the model. Its weights are put in use, all at once, only after it has succeeded; a failed or
interrupted job leaves the old weights in use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import sys
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec

from memscope.server.errors import ApiError
from memscope.server.options import TrainOptions
from memscope.server.runtime import Runtime
from memscope.server.training.request import TrainRequest

__all__ = ["ServerJob", "ServerJobs"]

_NICENESS = 10


@dataclass
class ServerJob:
    """One accepted training request.

    Attributes:
        id: Its id.
        key: The Idempotency-Key of the request, or None.
        digest: Hash of the request, to distinguish a retry from another request with the same key.
        request: The request; dropped after the job has ended.
        status: "queued", "running", "succeeded" or "failed".
        losses: The loss after each step, in nats per token.
        steps: Total number of steps.
        error: Why it failed.
        weights: Fingerprint of the new weights, once they are in use.
        saved: Folder that the new weights were saved to, or None.
    """

    id: str
    key: str | None
    digest: bytes
    request: TrainRequest | None
    steps: int
    status: str = "queued"
    losses: list[float] = field(default_factory=list)
    error: str | None = None
    weights: str | None = None
    saved: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON representation for clients."""
        error = None if self.error is None else {"message": self.error, "type": "TrainingError"}
        result = None if self.weights is None else {"weights": self.weights, "saved_to": self.saved}
        return {
            "job_id": self.id,
            "idempotency_key": self.key,
            "status": self.status,
            "step": len(self.losses),
            "steps": self.steps,
            "loss": self.losses[-1] if self.losses else None,
            "losses": self.losses,
            "result": result,
            "error": error,
        }


class ServerJobs:
    """The queue and list of jobs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._jobs: dict[str, ServerJob] = {}
        self._by_key: dict[str, ServerJob] = {}
        self._queue: queue.SimpleQueue[ServerJob | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        runtime.at_stop(self.stop)

    def accept(self, request: TrainRequest, key: str | None) -> ServerJob:
        """Create a job for a request, or return the job of an earlier request with the same key.

        Raises:
            ApiError: The key was used for another request (409).
        """
        digest = hashlib.blake2b(msgspec.json.encode(request)).digest()
        with self._lock:
            if key is not None and (known := self._by_key.get(key)) is not None:
                if known.digest != digest:
                    raise ApiError(409, "this Idempotency-Key was used for another request")
                return known
            steps = self._options(request).steps
            job = ServerJob(f"job-{uuid.uuid4().hex[:12]}", key, digest, request, steps)
            self._jobs[job.id] = job
            if key is not None:
                self._by_key[key] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="memscope-train", daemon=True)
                self._thread.start()
        self._queue.put(job)
        return job

    def get(self, name: str) -> ServerJob:
        """Return a job.

        Raises:
            ApiError: There is no such job (404).
        """
        try:
            return self._jobs[name]
        except KeyError:
            raise ApiError(404, f"there is no job {name!r}") from None

    def all(self) -> list[ServerJob]:
        """Return every job, oldest first."""
        return list(self._jobs.values())

    def stop(self, timeout: float) -> bool:
        """Abort the running job at its next step; return whether the thread ended within `timeout` seconds."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _log_outcome(self, job: ServerJob) -> None:
        """Log the outcome to stderr, unless the scorer is a child process."""
        if not self._runtime.options.announce:
            kept = f", weights written to {job.saved}" if job.saved else ""
            sys.stderr.write(f"memscope: {job.id} {job.status}{kept}{f': {job.error}' if job.error else ''}\n")
            sys.stderr.flush()

    def _options(self, request: TrainRequest) -> TrainOptions:
        return request.options.merged_with(self._runtime.options.train_options)

    def _work(self) -> None:
        _lower_priority()
        while (job := self._queue.get()) is not None and not self._stopping.is_set():
            try:
                self._train(job)
            except Exception as error:  # any error fails the job, never the server
                job.error = f"{type(error).__name__}: {error}"
                job.status = "failed"
            job.request = None
            self._log_outcome(job)

    def _train(self, job: ServerJob) -> None:
        from memscope.server.compute.loading import with_weights
        from memscope.server.training.saving import save
        from memscope.server.training.train import fine_tune

        request = job.request
        if request is None:
            raise RuntimeError("a job without its request")
        job.status = "running"
        loaded = self._runtime.loaded

        def on_step(_: int, loss: float) -> None:
            job.losses.append(loss)
            if self._stopping.is_set():
                raise InterruptedError("the scorer is shutting down")

        options = self._options(request)
        fresh = with_weights(loaded, fine_tune(loaded, request.training_data.samples, options, on_step))
        target = self._runtime.options.save_to
        if target is not None:
            done = [other.id for other in self._jobs.values() if other.status == "succeeded"]
            save(fresh, target, {"base": str(loaded.root), "weights": fresh.weights, "jobs": [*done, job.id]})
            job.saved = str(target)
        self._runtime.swap(fresh)
        job.weights = fresh.weights
        job.status = "succeeded"


def _lower_priority() -> None:
    """Lower the priority of this thread and its torch threads, so that scoring takes precedence."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
