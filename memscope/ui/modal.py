"""Shared behaviour of modal screens: they close only once.

Keys that arrive in one read are all queued before the first of them closes the screen, so it may be dismissed twice; a
second `dismiss` would also close the screen below, and closing the last screen ends the app with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete
from textual.widgets import OptionList

if TYPE_CHECKING:
    from textual.screen import Screen

    _AnyScreen = Screen[Any]
else:
    # Textual looks up styles through the first base class that is a widget, so this mixin must not be one.
    _AnyScreen = object

__all__ = ["Answers", "ClosesOnce"]


class ClosesOnce(_AnyScreen):
    """A mixin for screens whose `dismiss` works once, and only while the screen is on top.

    Attributes:
        closed: Whether the screen was dismissed.
    """

    closed = False

    @property
    def on_top(self) -> bool:
        """Whether keys go to this screen; Textual's `is_current` also includes screens visible below another."""
        return self.app.screen_stack[-1:] == [self]

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close with a result; does nothing if already closed, or if another screen is on top."""
        if self.closed or not self.on_top:
            return AwaitComplete()
        self.closed = True
        closing: AwaitComplete = super().dismiss(result)
        return closing


class Answers(OptionList):
    """A list that ignores page keys until it is laid out: Textual would access lines that do not exist yet."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable page keys while there are no pages."""
        if action in ("page_up", "page_down"):
            return bool(self.scrollable_content_region)
        return super().check_action(action, parameters)
