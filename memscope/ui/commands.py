"""Textual's command palette, made safe against keys that arrive faster than it draws itself."""

from __future__ import annotations

from textual.command import CommandList, CommandPalette
from textual.widgets import Input, OptionList

from memscope.ui.modal import ClosesOnce

__all__ = ["CommandMenu"]


class CommandMenu(ClosesOnce, CommandPalette):
    """Runs the chosen command once, and moves in the list only where there is one."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out moves in a list that was not laid out: Textual looks for lines it does not have yet."""
        if action == "command_list":
            return bool(self.query_one(CommandList).scrollable_content_region)
        return super().check_action(action, parameters)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take no second choice."""
        self._take_once(event)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take no second Enter."""
        self._take_once(event)

    def _take_once(self, event: OptionList.OptionSelected | Input.Submitted) -> None:
        if self.closed:
            event.stop()
            event.prevent_default()
