"""The interface of the app that is available to its parts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from textual.app import App
from textual.binding import Binding

from memscope.ui.hardened import HardenedApp
from memscope.ui.keys import default_keys
from memscope.ui.options import UiOptions

__all__ = ["AppShell", "key_of"]


class AppShell(HardenedApp):
    """The app as seen by its parts.

    Attributes:
        options: The options of the screen.
    """

    options: UiOptions

    @abstractmethod
    def say(self, line: str, *, warn: bool = False) -> None:
        """Show a message as a notification and add it to the log."""

    @abstractmethod
    def log_line(self, line: str) -> None:
        """Add a line to the log."""

    @abstractmethod
    def open_pane(self, name: str) -> None:
        """Show and focus a pane."""

    @abstractmethod
    def show_training_effect(self) -> None:
        """Score the map again under the trained weights, and show the changes as it fills in."""


def key_of(app: App[Any], name: str) -> str:
    """Return the displayed first key of a binding, taking the keymap into account."""
    remapped = app.options.keymap.get(name) if isinstance(app, AppShell) else None
    return app.get_key_display(Binding((remapped or default_keys(name)).split(",")[0], "", ""))
