"""Textual's command palette, made robust against keys that arrive before it is drawn."""

from __future__ import annotations

from textual.command import CommandList, CommandPalette
from textual.widgets import Input, OptionList

from memscope.ui.modal import ClosesOnce

__all__ = ["CommandMenu"]


class CommandMenu(ClosesOnce, CommandPalette):
    """Runs the chosen command once, and ignores cursor keys until the list is laid out."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable moves in a list that is not laid out: Textual would access lines that do not exist yet."""
        if action == "command_list":
            return bool(self.query_one(CommandList).scrollable_content_region)
        return super().check_action(action, parameters)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Ignore a second choice."""
        self._take_once(event)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ignore a second Enter."""
        self._take_once(event)

    def _take_once(self, event: OptionList.OptionSelected | Input.Submitted) -> None:
        if self.closed:
            event.stop()
            event.prevent_default()
