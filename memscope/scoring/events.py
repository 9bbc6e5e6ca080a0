"""Events that a run sends to its listeners, in the order in which they happen.

The screen draws them, the commands print them, the debug log records them. Memories are identified by key, responses
by id. No event carries session text, but the events of alternates carry generated text.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from memscope.scoring.grid import Measure

__all__ = [
    "AlternateDone",
    "AlternateFailed",
    "AlternateGrew",
    "BaselineDone",
    "Event",
    "Failed",
    "Finished",
    "JobProgress",
    "NoiseFloorMeasured",
    "Notice",
    "Progress",
    "PromptReady",
    "RowDone",
    "RowFailed",
    "RowStarted",
    "ScorerLost",
    "ScorerReady",
    "ScorerStarting",
    "SessionGrown",
    "SessionNotes",
    "ShipmentChanged",
    "StateChanged",
    "StrippedDone",
    "rendering_words",
]


class ScorerStarting(msgspec.Struct, frozen=True):
    """A scorer is being started or contacted; `what` describes it on one line."""

    what: str


class ScorerReady(msgspec.Struct, frozen=True):
    """A scorer is ready: its kind ("embedded", "vllm", …), model, dtype, URL, dialect, weights fingerprint.

    `verified`: its scores were checked against the log-probabilities of tokens that it generated.
    """

    kind: str
    model: str
    dtype: str
    url: str
    dialect: str
    weights: str
    verified: bool


class ScorerLost(msgspec.Struct, frozen=True):
    """The scorer crashed or became unreachable; `last_lines` is the end of its output."""

    error: str
    last_lines: tuple[str, ...] = ()


class PromptReady(msgspec.Struct, frozen=True):
    """The session was tokenised for the first time, or is rendered otherwise: the layout now has token counts.

    Attributes:
        tokens: Number of tokens of the longest sequence.
        template: How it was rendered: "chatml", or the model's "own" chat template.
    """

    tokens: int
    template: str


def rendering_words(template: str) -> str:
    """Say how a session was rendered, from the `template` of its prompt: "as ChatML"."""
    return "as ChatML" if template == "chatml" else "with the model's own chat template"


class SessionGrown(msgspec.Struct, frozen=True):
    """The session was replaced by another version, usually a longer one: the grids have its memories and responses."""

    memories: int
    responses: int


class BaselineDone(msgspec.Struct, frozen=True):
    """The baseline of a measure has been scored for all responses."""

    measure: Measure


class NoiseFloorMeasured(msgspec.Struct, frozen=True):
    """Differences of at most `nats` are indistinguishable from zero."""

    nats: float


class StrippedDone(msgspec.Struct, frozen=True):
    """The divergence of every response with all memories left out has been scored."""


class AlternateGrew(msgspec.Struct, frozen=True):
    """An alternate is being generated; `text` is the whole text so far."""

    response: str
    text: str


class AlternateDone(msgspec.Struct, frozen=True):
    """An alternate is complete."""

    response: str
    text: str


class AlternateFailed(msgspec.Struct, frozen=True):
    """An alternate could not be generated."""

    response: str
    error: str


class ShipmentChanged(msgspec.Struct, frozen=True):
    """The state of a shipment in the training ledger changed."""

    key: str
    state: str
    job: str | None
    error: str | None


class JobProgress(msgspec.Struct, frozen=True):
    """Progress of a training job; `steps` is 0 and `loss` (nats per token) None while the server reports none."""

    job: str
    status: str
    step: int
    steps: int
    loss: float | None


class RowStarted(msgspec.Struct, frozen=True):
    """A row of the grid is being scored."""

    measure: Measure
    key: str


class RowDone(msgspec.Struct, frozen=True):
    """A row of the grid is complete. `cached`: all its scores came from the store."""

    measure: Measure
    key: str
    maximum: float
    cells_set: int
    cached: bool


class RowFailed(msgspec.Struct, frozen=True):
    """A row of the grid could not be scored."""

    measure: Measure
    key: str
    error: str


class Progress(msgspec.Struct, frozen=True):
    """Progress of a matrix: rows done, rows in total, rows per second, seconds left (None while unknown)."""

    done: int
    total: int
    rows_per_second: float | None
    eta_seconds: float | None


class StateChanged(msgspec.Struct, frozen=True):
    """The state of the run: "idle", "starting", "ready", "scoring", "paused", "done", "cancelled" or "failed"."""

    state: str


class Finished(msgspec.Struct, frozen=True):
    """A matrix ended, at this cost.

    Attributes:
        calls: Requests sent.
        tokens_naive: Tokens without any reuse.
        tokens_forwarded: Tokens forwarded through the model.
        seconds: Its duration.
        failed: Number of rows that failed.
        cancelled: Whether the user stopped it; partial results are kept.
        routine: Whether it was one of many that follow a growing session, and not worth a line of its own.
    """

    calls: int
    tokens_naive: int
    tokens_forwarded: int
    seconds: float
    failed: int
    cancelled: bool
    routine: bool = False


class Notice(msgspec.Struct, frozen=True):
    """One line that the user should see; the run continues."""

    text: str


class SessionNotes(msgspec.Struct, frozen=True):
    """What was skipped, changed or guessed when the session was read, one line each."""

    text: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True):
    """An operation failed, described on one line; its call raises the same error."""

    text: str


Event: TypeAlias = (
    Failed
    | AlternateGrew
    | AlternateDone
    | AlternateFailed
    | ShipmentChanged
    | JobProgress
    | ScorerStarting
    | ScorerReady
    | ScorerLost
    | PromptReady
    | SessionGrown
    | BaselineDone
    | NoiseFloorMeasured
    | StrippedDone
    | RowStarted
    | RowDone
    | RowFailed
    | Progress
    | StateChanged
    | Finished
    | Notice
    | SessionNotes
)
