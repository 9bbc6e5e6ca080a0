"""What every screen on top of the main one has in common: it closes once.

Keys that arrive in one read are all queued before the first of them closes the screen, so its answer may be given
twice; a second `dismiss` would take the screen below off as well, and the last of them ends the app with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete
from textual.widgets import OptionList

if TYPE_CHECKING:
    from textual.screen import Screen

    _AnyScreen = Screen[Any]
else:
    # Textual finds a widget's styles through its first base that is a widget, so this mixin must not be one.
    _AnyScreen = object

__all__ = ["Answers", "ClosesOnce"]


class ClosesOnce(_AnyScreen):
    """A mixin for screens whose `dismiss` counts once, and only while the screen is on top.

    Attributes:
        closed: Whether the screen was dismissed.
    """

    closed = False

    @property
    def on_top(self) -> bool:
        """Whether keys go to this screen; Textual's `is_current` is also true of one that shines through another."""
        return self.app.screen_stack[-1:] == [self]

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close with a result; does nothing where that has happened, or where another screen covers this one."""
        if self.closed or not self.on_top:
            return AwaitComplete()
        self.closed = True
        closing: AwaitComplete = super().dismiss(result)
        return closing


class Answers(OptionList):
    """A list that leaves out page keys until it is laid out: Textual looks for lines that it does not have yet."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out page keys where there are no pages."""
        if action in ("page_up", "page_down"):
            return bool(self.scrollable_content_region)
        return super().check_action(action, parameters)
