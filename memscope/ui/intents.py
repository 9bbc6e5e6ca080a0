"""What the panes ask for and the controller does, as types: a key can ask for nothing that nobody handles."""

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
    """Score responses without memories again; after a training, compare with before."""


class ToggleAlternates(msgspec.Struct, frozen=True):
    """Turn alternates on or off."""


class MoveThreshold(msgspec.Struct, frozen=True):
    """Raise or lower the threshold by one step."""

    up: bool


class OpenDiff(msgspec.Struct, frozen=True):
    """Show the response under the cursor against its alternate."""


class ReviewSend(msgspec.Struct, frozen=True):
    """Review what would be sent to training."""


class StepCandidate(msgspec.Struct, frozen=True):
    """Go on or back by some candidates."""

    by: int


class Decide(msgspec.Struct, frozen=True):
    """Approve or reject responses, by id; deciding the same again clears the decision."""

    responses: tuple[str, ...]
    decision: Decision


CandidateIntent: TypeAlias = (
    FindCandidates | ToggleAlternates | MoveThreshold | OpenDiff | ReviewSend | StepCandidate | Decide
)


class UserIntent(Message):
    """A pane around the candidates asks for something."""

    def __init__(self, intent: CandidateIntent) -> None:
        super().__init__()
        self.intent = intent
