"""Collects the events of a run between frames, so that a flood of cached rows costs one repaint per frame."""

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
    SessionGrown,
    SessionNotes,
    ShipmentChanged,
    StrippedDone,
    rendering_words,
)
from memscope.scoring.grid import Measure

__all__ = ["Batch", "Feed"]

_FRAME_SECONDS = 1 / 20


class Batch(msgspec.Struct):
    """The events since the last frame.

    Attributes:
        rows: Keys of memories whose rows changed, by measure.
        lines: Log lines, in order.
        notices: Messages that the user should see at once.
        reload: Whether the grids were cleared, or have token counts now.
        grown: Whether the session was replaced; the map shows that already.
        floor: The noise floor, if it was measured.
        progress: The latest progress.
        lost: The loss of the scorer, if it occurred.
        finished: The end of a matrix, if it occurred.
        stripped: Whether all-left-out values were scored.
        alternates: Alternates generated so far, by response id.
        failed_alternates: Errors of failed alternates, by response id.
        shipment: Progress of a job, on one line.
        shipment_changed: Whether the state of a shipment changed.
    """

    rows: dict[Measure, set[str]] = msgspec.field(default_factory=dict)
    lines: list[str] = msgspec.field(default_factory=list)
    notices: list[str] = msgspec.field(default_factory=list)
    reload: bool = False
    grown: bool = False
    floor: float | None = None
    progress: Progress | None = None
    lost: ScorerLost | None = None
    finished: Finished | None = None
    stripped: bool = False
    alternates: dict[str, str] = msgspec.field(default_factory=dict)
    failed_alternates: dict[str, str] = msgspec.field(default_factory=dict)
    shipment: str | None = None
    shipment_changed: bool = False

    @property
    def candidates_changed(self) -> bool:
        """Whether anything about candidates changed."""
        return bool(self.alternates or self.failed_alternates or self.list_changed)

    @property
    def list_changed(self) -> bool:
        """Whether the list of candidates may have changed."""
        return bool(
            self.stripped or self.shipment or self.finished or self.reload or self.grown or self.shipment_changed
        )

    def add(self, event: Event) -> None:
        """Add one event."""
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
                if tokens:
                    self.lines.append(f"the session has {tokens} tokens, rendered {rendering_words(template)}")
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
                self.lines += [f"scorer: {line}" for line in last_lines] + [f"the scorer was lost: {error}"]
            case Notice(text) | Failed(text):
                self.lines.append(text)
                self.notices.append(text)
            case SessionNotes(lines):
                self.lines += lines
                more = f" ({len(lines) - 1} more in the log)" if len(lines) > 1 else ""
                self.notices.append(f"session file: {lines[0]}{more}")
            case Finished():
                self.finished = event
                if not event.routine:
                    self.lines.append(_finished(event))
            case SessionGrown():
                self.grown = True
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
                self.shipment_changed = True
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
    ended = "stopped, results are kept," if event.cancelled else "finished"
    failed = f", {event.failed} rows failed" if event.failed else ""
    return (
        f"{ended} after {event.seconds:.1f} s{failed}: {event.calls} calls, "
        f"{event.tokens_forwarded} tokens forwarded ({event.tokens_naive} without reuse)"
    )


class Feed:
    """An event listener that delivers one batch per frame, on the event loop."""

    def __init__(self, deliver: Callable[[Batch], None]) -> None:
        self._deliver = deliver
        self._batch = Batch()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, event: Event) -> None:
        """Add one event."""
        self._batch.add(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FRAME_SECONDS, self.flush)

    def flush(self) -> None:
        """Deliver the current batch now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        batch, self._batch = self._batch, Batch()
        self._deliver(batch)
