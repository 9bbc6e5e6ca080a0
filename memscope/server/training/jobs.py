"""Training jobs: one at a time, the others wait; every accepted job is listed for as long as the server lives.

A job works on a copy of the model. Only when it has succeeded are its weights put in use, all at once; a job that fails
or is cut short leaves the old ones.
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
    """One accepted request.

    Attributes:
        id: Its name.
        key: The Idempotency-Key it came under, or None.
        digest: Hash of the request, to tell a repetition from another request under the same key.
        request: What was asked; dropped when it has ended.
        status: "queued", "running", "succeeded" or "failed".
        losses: The loss after each step, in nats a token.
        steps: Steps in all.
        error: Why it failed.
        weights: Fingerprint of the new weights, once they are in use.
        saved: Folder they were written to, or None.
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
        """Return the job as clients see it."""
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
    """The queue and the list."""

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
        """Take a request, or find the job that an earlier one under the same key became.

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
            ApiError: There is none of that name (404).
        """
        try:
            return self._jobs[name]
        except KeyError:
            raise ApiError(404, f"there is no job {name!r}") from None

    def all(self) -> list[ServerJob]:
        """Return every job, oldest first."""
        return list(self._jobs.values())

    def stop(self, timeout: float) -> bool:
        """Give up the running job at its next step; return whether the thread ended within `timeout` seconds."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _log_outcome(self, job: ServerJob) -> None:
        """Tell whoever watches a server of its own; as a child, the parent knows."""
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
            except Exception as error:  # whatever goes wrong is the job's end, never the server's
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
    """Lower the priority of this thread and of those that torch makes for it: scoring goes first on few cores."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
