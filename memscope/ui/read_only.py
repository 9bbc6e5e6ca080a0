"""Dims the keys that change or send something, where the screen is read-only.

Scoring again, restarting the scorer and exporting to a file that the user names stay possible: they change nothing that
memscope or the agent goes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events

from memscope.ui.shell import AppShell

if TYPE_CHECKING:
    from textual.widget import Widget as _Widget
else:
    # Textual looks up styles through the first base class that is a widget, so this mixin must not be one.
    _Widget = object

__all__ = ["DimsChanges"]

_CHANGING = frozenset({"decide", "choose", "send", "threshold", "toggle_alternates"})
"""The actions of panes that lead to a decision, a setting or a request for training or text."""


class DimsChanges(_Widget):
    """A mixin for panes whose keys for changes have no effect on a read-only screen."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable changes; None shows their keys dimmed."""
        if action in _CHANGING and isinstance(self.app, AppShell) and self.app.options.read_only:
            return None
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Say why a key for a change has no effect."""
        active = self.screen.active_bindings.get(event.key)
        if active is not None and not active.enabled and isinstance(self.app, AppShell) and self.app.options.read_only:
            self.app.notify("read-only: start memscope with --no-read-only to decide and train", timeout=4)
