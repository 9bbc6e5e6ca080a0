"""The line of key hints at the bottom: as many active bindings as fit, always including help and quit."""

from __future__ import annotations

from collections.abc import Iterator

from rich.style import Style
from textual.binding import ActiveBinding

from memscope.terminal.safe import cells
from memscope.ui.line import OneLine, StyledText

__all__ = ["Hints"]

_BOLD, _DIM = Style(bold=True), Style(dim=True)
_ALWAYS = ("help", "quit")


class Hints(OneLine):
    """Shows the bindings of the focused widget."""

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def pieces(self, width: int) -> Iterator[StyledText]:
        """Return the keys and labels; those that are disabled come last, dimmed."""
        shown = sorted(self._shown(), key=lambda active: not active.enabled)
        always = [active for active in shown if active.binding.id in _ALWAYS]
        room = width - sum(map(self._width, always))
        for active in shown:
            if active.binding.id in _ALWAYS:
                continue
            room -= self._width(active)
            if room < 0:
                break
            yield from self._hint(active)
        for active in always:
            yield from self._hint(active)

    def _shown(self) -> list[ActiveBinding]:
        shown: dict[str | None, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                shown.setdefault(active.binding.id or active.binding.action, active)
        return list(shown.values())

    def _hint(self, active: ActiveBinding) -> Iterator[StyledText]:
        yield f" {self.app.get_key_display(active.binding)}", _BOLD if active.enabled else _DIM
        yield f" {active.binding.description} ", _DIM

    def _width(self, active: ActiveBinding) -> int:
        return sum(cells(text) for text, _ in self._hint(active))
