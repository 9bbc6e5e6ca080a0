"""The line of key hints at the bottom: as many active bindings as fit, always including help and quit."""

from __future__ import annotations

from collections.abc import Iterator

from rich.style import Style
from textual.binding import Binding

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
        """Return the keys and labels."""
        always = [binding for binding in self._shown() if binding.id in _ALWAYS]
        room = width - sum(map(self._width, always))
        for binding in self._shown():
            if binding.id in _ALWAYS:
                continue
            room -= self._width(binding)
            if room < 0:
                break
            yield from self._hint(binding)
        for binding in always:
            yield from self._hint(binding)

    def _shown(self) -> list[Binding]:
        shown: dict[str | None, Binding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show and active.enabled:
                shown.setdefault(active.binding.id or active.binding.action, active.binding)
        return list(shown.values())

    def _hint(self, binding: Binding) -> Iterator[StyledText]:
        yield f" {self.app.get_key_display(binding)}", _BOLD
        yield f" {binding.description} ", _DIM

    def _width(self, binding: Binding) -> int:
        return sum(cells(text) for text, _ in self._hint(binding))
