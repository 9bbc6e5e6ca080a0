"""What a run tells whoever listens: small frozen records, in the order in which things happen.

The screen draws them, the commands print them, the debug log keeps them; none of them carries session text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from memscope.scoring.grid import Measure

__all__ = [
    "BaselineDone",
    "Event",
    "Finished",
    "NoiseFloorMeasured",
    "Progress",
    "PromptReady",
    "RowDone",
    "RowFailed",
    "RowStarted",
    "ScorerLost",
    "ScorerReady",
    "ScorerStarting",
    "StateChanged",
    "StrippedDone",
    "Trouble",
]


@dataclass(frozen=True, slots=True)
class ScorerStarting:
    """A scorer is being started or asked; `what` says which, on one line."""

    what: str


@dataclass(frozen=True, slots=True)
class ScorerReady:
    """A scorer answers: its kind ("embedded", "vllm", …), model, dtype, address, dialect, weights fingerprint."""

    kind: str
    model: str
    dtype: str
    url: str
    dialect: str
    weights: str


@dataclass(frozen=True, slots=True)
class ScorerLost:
    """The scorer died or went away; `last_lines` is what it said last."""

    error: str
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptReady:
    """The session is tokenised: token counts of the grid's rows and columns are known now."""

    tokens: int


@dataclass(frozen=True, slots=True)
class BaselineDone:
    """The log-probabilities of all responses with every memory present are known."""

    measure: Measure


@dataclass(frozen=True, slots=True)
class NoiseFloorMeasured:
    """Differences at or below `nats` cannot be told from zero."""

    nats: float


@dataclass(frozen=True, slots=True)
class StrippedDone:
    """The divergence of every response with all memories left out is known."""


@dataclass(frozen=True, slots=True)
class RowStarted:
    """A row of the grid is being scored."""

    measure: Measure
    row: int


@dataclass(frozen=True, slots=True)
class RowDone:
    """A row of the grid is complete. `cached`: it was remembered, nothing was computed."""

    measure: Measure
    row: int
    maximum: float
    cells_set: int
    cached: bool


@dataclass(frozen=True, slots=True)
class RowFailed:
    """A row of the grid could not be scored."""

    measure: Measure
    row: int
    error: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a matrix is: rows done of rows in all, rows a second, seconds left (None while unknown)."""

    done: int
    total: int
    rows_per_second: float | None
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The run's state: "idle", "starting", "ready", "scoring", "paused", "done", "cancelled" or "failed"."""

    state: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A matrix ended; what it cost. `cancelled`: the user stopped it, partial results stay."""

    calls: int
    tokens_naive: int
    tokens_forwarded: int
    seconds: float
    failed: int
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something the user should know, on one line; the run goes on."""

    text: str


Event: TypeAlias = (
    ScorerStarting
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
    | Trouble
)
