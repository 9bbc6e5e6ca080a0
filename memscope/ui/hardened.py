"""A Textual app that no key, byte or exception can end in a way that tells what it should not.

Textual prints the local variables of every frame when something unexpected is raised, and API keys are among them.
Here the exception is kept for whoever runs the app, who prints one line and writes the traceback to the debug log.
"""

from __future__ import annotations

import sys

from rich.console import RenderableType
from textual.app import App
from textual.driver import Driver
from textual.theme import ThemeProvider

from memscope.errors import MemscopeError

__all__ = ["HardenedApp"]


class HardenedApp(App[int]):
    """An app whose screens close once, whose input cannot end it, and whose failures stay with it.

    Attributes:
        failure: What ended the app unexpectedly; None when nothing did.
    """

    failure: BaseException | None = None

    def get_driver_class(self) -> type[Driver]:
        """Use the reader that survives whatever a terminal sends, where there is one for the system."""
        driver = super().get_driver_class()
        if sys.platform == "win32":
            return driver
        from textual.drivers.linux_driver import LinuxDriver

        from memscope.ui.terminal_input import TolerantDriver

        return TolerantDriver if driver is LinuxDriver else driver

    def action_command_palette(self) -> None:
        """Search the commands, unless a question is open."""
        from memscope.ui.commands import CommandMenu

        if not self.screen.is_modal:
            self.push_screen(CommandMenu(id="--command-palette"))

    def search_themes(self) -> None:
        """Choose a theme."""
        from memscope.ui.commands import CommandMenu

        self.push_screen(CommandMenu(providers=[ThemeProvider], placeholder="Search for themes…"))

    def panic(self, *renderables: RenderableType) -> None:  # noqa: ARG002
        """Leave without printing what Textual would: its renderables may hold anything."""
        if self.failure is None:
            self._handle_exception(MemscopeError("the screen ended unexpectedly"))
        else:
            self._fatal_error()

    def _handle_exception(self, error: Exception) -> None:
        self.failure = self.failure or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()
