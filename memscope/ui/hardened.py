"""A Textual app that is robust against unexpected input and never prints secrets when it fails.

On an unexpected exception, Textual prints the local variables of every frame, which may include API keys. Here the
exception is stored for the caller of the app, which prints one line and writes the traceback to the debug log.
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
    """An app whose screens close only once, that survives invalid input, and that stores its failure.

    Attributes:
        failure: The exception that ended the app; None if there was none.
    """

    failure: BaseException | None = None

    def get_driver_class(self) -> type[Driver]:
        """Use the driver that tolerates invalid input, if it supports this system."""
        driver = super().get_driver_class()
        if sys.platform == "win32":
            return driver
        from textual.drivers.linux_driver import LinuxDriver

        from memscope.ui.terminal_input import TolerantDriver

        return TolerantDriver if driver is LinuxDriver else driver

    def action_command_palette(self) -> None:
        """Open the command palette, unless a dialog is open."""
        from memscope.ui.commands import CommandMenu

        if not self.screen.is_modal:
            self.push_screen(CommandMenu(id="--command-palette"))

    def search_themes(self) -> None:
        """Open the list of themes."""
        from memscope.ui.commands import CommandMenu

        self.push_screen(CommandMenu(providers=[ThemeProvider], placeholder="Search for themes…"))

    def panic(self, *renderables: RenderableType) -> None:  # noqa: ARG002
        """Exit without printing Textual's renderables, which may contain secrets."""
        if self.failure is None:
            self._handle_exception(MemscopeError("the screen ended unexpectedly"))
        else:
            self._fatal_error()

    def _handle_exception(self, error: Exception) -> None:
        self.failure = self.failure or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()
