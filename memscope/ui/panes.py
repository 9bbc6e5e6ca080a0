"""The panes: which there are, and where they stand.

A pane is a widget named in `PANES`; adding one means adding a line there and building the widget in `memscope.ui.app`.
On a wide screen the upper panes stand side by side and one lower pane is open below them; on a narrow one a single
pane is open. Nothing ever moves to another parent, so that a resize only shows and hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Protocol, runtime_checkable

import msgspec
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget

from memscope.ui.keys import WORKSPACE
from memscope.ui.line import OneLine, StyledText

__all__ = ["PANES", "Pane", "PaneSpec", "Workspace"]

WIDE_FROM = 140
"""Columns from which the upper panes stand side by side."""


class PaneSpec(msgspec.Struct, frozen=True):
    """One pane: its widget's id, the word in the tab, the digit that opens it, and where it stands."""

    id: str
    title: str
    digit: int
    place: Literal["upper", "lower"]
    beside: str | None = None
    """The lower pane that stands at its side where there is room."""


PANES = (
    PaneSpec("heatmap", "heatmap", 1, "upper"),
    PaneSpec("detail", "detail", 2, "upper"),
    PaneSpec("candidates", "candidates", 3, "lower", beside="diff"),
    PaneSpec("diff", "diff", 4, "lower", beside="candidates"),
    PaneSpec("log", "log", 5, "lower"),
)


@runtime_checkable
class Pane(Protocol):
    """What a pane can do beside being a widget."""

    def focus_inside(self) -> None:
        """Give the keyboard to the part of the pane that wants it."""

    def copied(self) -> str:
        """Return what `y` copies when nothing is selected; "" for nothing."""


class Tabs(OneLine):
    """The names of some panes with their digits, the open one marked; a click opens one."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, specs: tuple[PaneSpec, ...], id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._specs = specs
        self.current = specs[0].id

    def pieces(self, width: int) -> Iterator[StyledText]:  # noqa: ARG002
        """Draw the tabs."""
        for spec in self._specs:
            style = Style(bold=True, reverse=True) if spec.id == self.current else Style()
            yield f" {spec.digit} {spec.title} ", style

    def on_click(self, event: events.Click) -> None:
        """Open the tab under the mouse."""
        x = event.x
        for spec in self._specs:
            x -= len(spec.title) + 4
            if x < 0:
                self.post_message(self.Chosen(spec.id))
                return


class Workspace(Vertical):
    """All panes, arranged by width.

    Attributes:
        current: The id of the pane that has, or last had, the keyboard.
    """

    BINDINGS: ClassVar[list[BindingType]] = WORKSPACE

    def __init__(self, panes: Mapping[str, Widget]) -> None:
        super().__init__()
        self._panes = panes
        self._lower = next(spec.id for spec in PANES if spec.place == "lower")
        self.current = PANES[0].id

    def compose(self) -> ComposeResult:
        """The tabs of a narrow screen, the upper panes, the tabs of the lower ones, the lower panes."""
        yield Tabs(PANES, id="tabs")
        yield Horizontal(*(self._panes[spec.id] for spec in PANES if spec.place == "upper"), id="upper")
        yield Tabs(tuple(spec for spec in PANES if spec.place == "lower"), id="lower-tabs")
        yield Horizontal(*(self._panes[spec.id] for spec in PANES if spec.place == "lower"), id="lower")

    @property
    def wide(self) -> bool:
        """Whether there is room for panes side by side."""
        return self.app.size.width >= WIDE_FROM

    def pane(self, name: str | None = None) -> Pane:
        """Return a pane by id; the current one by default."""
        pane = self._panes[name or self.current]
        if not isinstance(pane, Pane):
            raise TypeError(f"{pane} is not a pane")
        return pane

    def open(self, name: str) -> None:
        """Show a pane and give it the keyboard."""
        self._make_current(name)
        self.pane().focus_inside()

    def action_next_pane(self, by: int) -> None:
        """Open the pane that comes `by` places after the current one."""
        names = [spec.id for spec in PANES]
        self.open(names[(names.index(self.current) + by) % len(names)])

    def on_mount(self) -> None:
        """Arrange before the first paint."""
        self._arrange()

    def on_resize(self) -> None:
        """Arrange anew."""
        self._arrange()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Follow the mouse: the pane that holds the focused widget is current."""
        inside = {widget.id for widget in event.widget.ancestors_with_self}
        for spec in PANES:
            if spec.id in inside and spec.id != self.current:
                self._make_current(spec.id)

    def on_tabs_chosen(self, event: Tabs.Chosen) -> None:
        """Open what was clicked."""
        self.open(event.pane)

    def _make_current(self, name: str) -> None:
        self.current = name
        if any(spec.id == name and spec.place == "lower" for spec in PANES):
            self._lower = name
        self._arrange()

    def _arrange(self) -> None:
        wide = self.wide
        for spec in PANES:
            shown = spec.place == "upper" or self._lower in (spec.id, spec.beside) if wide else spec.id == self.current
            self._panes[spec.id].display = shown
        self.query_one("#upper").display = wide or self._place() == "upper"
        self.query_one("#lower").display = wide or self._place() == "lower"
        for selector, shown, current in (("#tabs", not wide, self.current), ("#lower-tabs", wide, self._lower)):
            tabs = self.query_one(selector, Tabs)
            tabs.display, tabs.current = shown, current
            tabs.refresh()
        self.set_class(wide, "-wide")

    def _place(self) -> str:
        return next(spec.place for spec in PANES if spec.id == self.current)
