"""Events of a run, gathered between two frames: a flood of remembered rows costs the screen one repaint a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from memscope.scoring.events import (
    AlternateDone,
    AlternateFailed,
    AlternateGrew,
    Event,
    Failed,
    Finished,
    JobProgress,
    NoiseFloorMeasured,
    Notice,
    Progress,
    PromptReady,
    RowDone,
    RowFailed,
    RowStarted,
    ScorerLost,
    ScorerReady,
    ScorerStarting,
    ShipmentChanged,
    StrippedDone,
)
from memscope.scoring.grid import Measure

__all__ = ["Batch", "Feed"]

_FRAME_SECONDS = 1 / 20


class Batch(msgspec.Struct):
    """What happened since the last frame.

    Attributes:
        rows: Keys of memories whose rows changed, a set for each measure.
        lines: For the log, in order.
        troubles: Lines that the user should see at once.
        reload: The grids may have another shape or were cleared.
        floor: The noise floor, when it was measured.
        progress: The latest.
        lost: The scorer is gone.
        finished: A matrix ended.
        stripped: The strip-all row is known, or known better.
        alternates: What alternates say so far, by response id.
        failed_alternates: Why an alternate could not be generated, by response id.
        shipment: A job moved on; one line.
        moved: A shipment has another state.
    """

    rows: dict[Measure, set[str]] = msgspec.field(default_factory=dict)
    lines: list[str] = msgspec.field(default_factory=list)
    troubles: list[str] = msgspec.field(default_factory=list)
    reload: bool = False
    floor: float | None = None
    progress: Progress | None = None
    lost: ScorerLost | None = None
    finished: Finished | None = None
    stripped: bool = False
    alternates: dict[str, str] = msgspec.field(default_factory=dict)
    failed_alternates: dict[str, str] = msgspec.field(default_factory=dict)
    shipment: str | None = None
    moved: bool = False

    @property
    def tuned(self) -> bool:
        """Whether anything about candidates happened."""
        return bool(self.alternates or self.failed_alternates or self.listed)

    @property
    def listed(self) -> bool:
        """Whether the list of candidates may look different."""
        return bool(self.stripped or self.shipment or self.finished or self.reload or self.moved)

    def add(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RowStarted(measure, key):
                self._row(measure, key)
            case RowDone(measure, key):
                self._row(measure, key)
            case RowFailed(measure, key, error):
                self._row(measure, key)
                self.lines.append(f"memory {key} failed: {error}")
            case Progress():
                self.progress = event
            case NoiseFloorMeasured(nats):
                self.floor = nats
                self.lines.append(f"noise floor {nats:.1e} nats")
            case PromptReady(tokens, template):
                self.reload = True
                rendering = "as ChatML" if template == "chatml" else "with the model's own chat template"
                self.lines.append(f"the session has {tokens} tokens, rendered {rendering}")
            case ScorerReady():
                self.reload = True
                self.lines.append(_ready(event))
            case _:
                self._state(event)

    def _state(self, event: Event) -> None:
        match event:
            case ScorerStarting(what):
                self.lines.append(what)
            case ScorerLost(error, last_lines):
                self.lost = event
                self.lines += [f"scorer: {line}" for line in last_lines] + [f"the scorer is gone: {error}"]
            case Notice(text) | Failed(text):
                self.lines.append(text)
                self.troubles.append(text)
            case Finished():
                self.finished = event
                self.lines.append(_finished(event))
            case _:
                self._tuning(event)

    def _tuning(self, event: Event) -> None:
        match event:
            case StrippedDone():
                self.stripped = True
            case AlternateGrew(response, text):
                self.alternates[response] = text
            case AlternateDone(response, text):
                self.alternates[response] = text
            case AlternateFailed(response, error):
                self.failed_alternates[response] = error
                self.lines.append(f"no alternate: {error}")
            case JobProgress(job, status, step, steps, loss):
                self.shipment = f"job {job} {status}, step {step} of {steps}" + (f", loss {loss:.3f}" if loss else "")
            case ShipmentChanged(_, state, job, error):
                self.moved = True
                self.lines.append(
                    f"training: {state}" + (f", job {job}" if job else "") + (f": {error}" if error else "")
                )
            case _:
                pass

    def _row(self, measure: Measure, key: str) -> None:
        self.rows.setdefault(measure, set()).add(key)


def _ready(event: ScorerReady) -> str:
    return f"scorer {event.kind}: {event.model}, {event.dtype}, {event.dialect} at {event.url}"


def _finished(event: Finished) -> str:
    ended = "stopped, results stay," if event.cancelled else "ended"
    failed = f", {event.failed} rows failed" if event.failed else ""
    return (
        f"{ended} after {event.seconds:.1f} s{failed}: {event.calls} calls, "
        f"{event.tokens_forwarded} tokens forwarded ({event.tokens_naive} without reuse)"
    )


class Feed:
    """Listens to a run and hands over a batch a frame; calls back on the loop."""

    def __init__(self, deliver: Callable[[Batch], None]) -> None:
        self._deliver = deliver
        self._batch = Batch()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self._batch.add(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FRAME_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand over what there is now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        batch, self._batch = self._batch, Batch()
        self._deliver(batch)
