"""What a run tells whoever listens: small frozen records, in the order in which things happen.

The screen draws them, the commands print them, the debug log keeps them. Memories are named by key, responses by id.
None of them carries session text, but those of alternates carry what the model says instead.
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
    "ShipmentChanged",
    "StateChanged",
    "StrippedDone",
]


class ScorerStarting(msgspec.Struct, frozen=True):
    """A scorer is being started or asked; `what` says which, on one line."""

    what: str


class ScorerReady(msgspec.Struct, frozen=True):
    """A scorer answers: its kind ("embedded", "vllm", …), model, dtype, address, dialect, weights fingerprint.

    `verified`: its numbers were checked against what it says of tokens that it generates.
    """

    kind: str
    model: str
    dtype: str
    url: str
    dialect: str
    weights: str
    verified: bool


class ScorerLost(msgspec.Struct, frozen=True):
    """The scorer died or went away; `last_lines` is what it said last."""

    error: str
    last_lines: tuple[str, ...] = ()


class PromptReady(msgspec.Struct, frozen=True):
    """The session is tokenised, at first or after it grew: the grids have a layout with token counts now.

    Attributes:
        tokens: The tokens of the longest sequence.
        template: How it was rendered: as "chatml", or by the model's "own" chat template.
    """

    tokens: int
    template: str


class BaselineDone(msgspec.Struct, frozen=True):
    """The log-probabilities of all responses with every memory present are known."""

    measure: Measure


class NoiseFloorMeasured(msgspec.Struct, frozen=True):
    """Differences at or below `nats` cannot be told from zero."""

    nats: float


class StrippedDone(msgspec.Struct, frozen=True):
    """The divergence of every response with all memories left out is known."""


class AlternateGrew(msgspec.Struct, frozen=True):
    """An alternate is being generated; `text` is all of it so far. The one event that carries the model's words."""

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
    """A shipment reached another state of the training ledger."""

    key: str
    state: str
    job: str | None
    error: str | None


class JobProgress(msgspec.Struct, frozen=True):
    """How far a training job is; `steps` is 0 and `loss` (nats a token) None while the server does not say."""

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
    """A row of the grid is complete. `cached`: it was remembered, nothing was computed."""

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
    """How far a matrix is: rows done of rows in all, rows a second, seconds left (None while unknown)."""

    done: int
    total: int
    rows_per_second: float | None
    eta_seconds: float | None


class StateChanged(msgspec.Struct, frozen=True):
    """The run's state: "idle", "starting", "ready", "scoring", "paused", "done", "cancelled" or "failed"."""

    state: str


class Finished(msgspec.Struct, frozen=True):
    """A matrix ended; what it cost. `cancelled`: the user stopped it, partial results stay."""

    calls: int
    tokens_naive: int
    tokens_forwarded: int
    seconds: float
    failed: int
    cancelled: bool


class Notice(msgspec.Struct, frozen=True):
    """Something the user should know, on one line; the run goes on."""

    text: str


class Failed(msgspec.Struct, frozen=True):
    """What was asked for cannot be done, on one line; the call that asked for it raises the same."""

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
)
