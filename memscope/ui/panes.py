"""The panes and their arrangement.

A pane is a widget listed in `PANES`; to add one, list it there and create the widget in `memscope.ui.app`.
On a wide screen the upper panes are side by side, with one lower pane open below them; on a narrow one a single pane is
open. Widgets never move to another parent: a resize only shows and hides them.
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
"""Minimum width for showing the upper panes side by side, in cells."""


class PaneSpec(msgspec.Struct, frozen=True):
    """One pane: the id of its widget, its tab title, the digit that opens it, and its place."""

    id: str
    title: str
    digit: int
    place: Literal["upper", "lower"]
    beside: str | None = None
    """The lower pane shown next to it if there is room."""


PANES = (
    PaneSpec("heatmap", "heatmap", 1, "upper"),
    PaneSpec("detail", "detail", 2, "upper"),
    PaneSpec("candidates", "candidates", 3, "lower", beside="diff"),
    PaneSpec("diff", "diff", 4, "lower", beside="candidates"),
    PaneSpec("log", "log", 5, "lower"),
)


@runtime_checkable
class Pane(Protocol):
    """The interface of a pane, in addition to that of a widget."""

    def focus_inside(self) -> None:
        """Focus the main widget of the pane."""

    def copied(self) -> str:
        """Return the text that `y` copies if nothing is selected; "" for none."""


class Tabs(OneLine):
    """The tabs of some panes, with their digits and the open one marked; a click opens a pane."""

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
    """All panes, arranged depending on the width.

    Attributes:
        current: The id of the pane that has, or last had, the focus.
    """

    BINDINGS: ClassVar[list[BindingType]] = WORKSPACE

    def __init__(self, panes: Mapping[str, Widget]) -> None:
        super().__init__()
        self._panes = panes
        self._lower = next(spec.id for spec in PANES if spec.place == "lower")
        self.current = PANES[0].id

    def compose(self) -> ComposeResult:
        """Create the tabs for narrow screens, the upper panes, the tabs of the lower panes, and the lower panes."""
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
        """Show and focus a pane."""
        self._make_current(name)
        self.pane().focus_inside()

    def action_next_pane(self, by: int) -> None:
        """Open the pane `by` places after the current one."""
        names = [spec.id for spec in PANES]
        self.open(names[(names.index(self.current) + by) % len(names)])

    def on_mount(self) -> None:
        """Arrange before the first paint."""
        self._arrange()

    def on_resize(self) -> None:
        """Rearrange the panes."""
        self._arrange()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Make the pane with the focused widget current."""
        inside = {widget.id for widget in event.widget.ancestors_with_self}
        for spec in PANES:
            if spec.id in inside and spec.id != self.current:
                self._make_current(spec.id)

    def on_tabs_chosen(self, event: Tabs.Chosen) -> None:
        """Open the clicked tab."""
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
