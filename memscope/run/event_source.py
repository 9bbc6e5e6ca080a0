"""What sends events: a list of listeners."""

from __future__ import annotations

from collections.abc import Callable

from memscope.scoring.events import Event

__all__ = ["EventSource"]


class EventSource:
    """Sends events to listeners, in the order in which they happen."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with every event from now on. Returns a function that stops this."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def emit(self, event: Event) -> None:
        """Send an event to every listener."""
        for listener in tuple(self._listeners):
            listener(event)
