"""The conversations that a service keeps: a call continues one by the id of its last response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Conversation", "Conversations"]

_KEPT = 4096


class Conversation(NamedTuple):
    """What a response was generated from, and the response.

    Attributes:
        messages: Ids of its messages in the recording, in order.
        whole: Whether these are all.
    """

    messages: Sequence[str]
    whole: bool


class Conversations:
    """The conversations that ended most recently, by the service's id of their last response."""

    def __init__(self) -> None:
        """Know no conversation."""
        self._known: dict[str, Conversation] = {}

    def add(self, response: str, conversation: Conversation) -> None:
        """Keep a conversation; the oldest one is forgotten when there are many."""
        self._known[response] = conversation
        if len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]

    def before(self, response: str) -> Conversation:
        """Return what a call continues.

        Args:
            response: The id that it names; "" if it continues nothing.
        """
        return self._known.get(response, Conversation((), whole=not response))
