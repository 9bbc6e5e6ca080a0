"""The requests of the candidate panes to their controller, as types, so that each has a handler."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from textual.message import Message

from memscope.store.decisions import Decision

__all__ = [
    "CandidateIntent",
    "Decide",
    "FindCandidates",
    "MoveThreshold",
    "OpenDiff",
    "ReviewSend",
    "StepCandidate",
    "ToggleAlternates",
    "UserIntent",
]


class FindCandidates(msgspec.Struct, frozen=True):
    """Score responses without memories again; after training, compare with before."""


class ToggleAlternates(msgspec.Struct, frozen=True):
    """Toggle alternates."""


class MoveThreshold(msgspec.Struct, frozen=True):
    """Raise or lower the threshold by one step."""

    up: bool


class OpenDiff(msgspec.Struct, frozen=True):
    """Show the diff of the response under the cursor and its alternate."""


class ReviewSend(msgspec.Struct, frozen=True):
    """Open the review before sending to training."""


class StepCandidate(msgspec.Struct, frozen=True):
    """Move by some candidates."""

    by: int


class Decide(msgspec.Struct, frozen=True):
    """Approve or reject responses, by id; deciding the same again clears the decision."""

    responses: tuple[str, ...]
    decision: Decision


CandidateIntent: TypeAlias = (
    FindCandidates | ToggleAlternates | MoveThreshold | OpenDiff | ReviewSend | StepCandidate | Decide
)


class UserIntent(Message):
    """A candidate pane requests an action."""

    def __init__(self, intent: CandidateIntent) -> None:
        super().__init__()
        self.intent = intent
