"""The candidates pane: responses that depend on memories, with decisions and training status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from memscope.scoring.finetune import Candidate, Findings
from memscope.store.decisions import Decision
from memscope.store.ledger import TrainingMark
from memscope.terminal.safe import cells, one_line, shorten
from memscope.training.history import TrainedResponse
from memscope.ui.intents import (
    CandidateIntent,
    Decide,
    FindCandidates,
    MoveThreshold,
    OpenDiff,
    ReviewSend,
    ToggleAlternates,
    UserIntent,
)
from memscope.ui.keys import CANDIDATES
from memscope.ui.read_only import DimsChanges

__all__ = ["CandidatesPane", "CandidatesState"]

_BOLD, _DIM, _PLAIN = Style(bold=True), Style(dim=True), Style()
_DECISION_STYLES: dict[Decision, Style] = {"approved": Style(color="green"), "rejected": Style(color="red")}


class CandidatesState(msgspec.Struct, frozen=True):
    """The content of the pane.

    Attributes:
        findings: The candidates; None until responses are scored without memories.
        decisions: Decisions by response id.
        marks: Training marks by response id.
        trained: Trained responses by id.
        before: Divergences before the last measured training, by response id; empty without one.
        alternates_on: Whether alternates are generated.
        note: One line on the current activity.
    """

    findings: Findings | None = None
    decisions: Mapping[str, Decision] = msgspec.field(default_factory=dict)
    marks: Mapping[str, TrainingMark] = msgspec.field(default_factory=dict)
    trained: Mapping[str, TrainedResponse] = msgspec.field(default_factory=dict)
    before: Mapping[str, float] = msgspec.field(default_factory=dict)
    alternates_on: bool = False
    note: str = ""

    def rows(self) -> list[Candidate]:
        """Return the listed responses: trained ones, then candidates, each by descending divergence."""
        listed = sorted((t.response for t in self.trained.values()), key=lambda r: -r.divergence)
        found = self.findings.candidates if self.findings else ()
        return listed + [candidate for candidate in found if candidate.id not in self.trained]


class CandidatesPane(DimsChanges, ScrollView, can_focus=True):
    """A list whose cursor stays on its response while the list changes."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = CANDIDATES

    class Moved(Message):
        """The cursor moved to another response."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._state = CandidatesState()
        self._rows: list[Candidate] = []
        self._cursor = 0
        self._anchor: str | None = None
        """The response last selected by the user; the cursor returns to it when it is listed again."""
        self._chosen: set[str] = set()

    @property
    def current(self) -> Candidate | None:
        """The candidate under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def chosen(self) -> list[str]:
        """The selected responses, or else the one under the cursor."""
        if self._chosen:
            return [candidate.id for candidate in self._rows if candidate.id in self._chosen]
        return [self.current.id] if self.current else []

    def show(self, state: CandidatesState) -> None:
        """Show another state; the cursor stays on its response if it is still listed."""
        before = self.current.id if self.current else None
        self._state, self._rows = state, state.rows()
        places = {candidate.id: place for place, candidate in enumerate(self._rows)}
        self._cursor = min(self._cursor, max(0, len(self._rows) - 1))
        if self._anchor is not None:
            self._cursor = places.get(self._anchor, self._cursor)
        self._chosen &= places.keys()
        self._measure()
        self.refresh()
        if (self.current.id if self.current else None) != before:
            self.post_message(self.Moved())

    def focus_inside(self) -> None:
        """Focus the list."""
        self.focus()

    def copied(self) -> str:
        """Return the response under the cursor."""
        return self.current.text if self.current else ""

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + by)

    def action_page(self, pages: int) -> None:
        """Move by a page."""
        self._go(self._cursor + pages * max(1, self.size.height - 2))

    def action_edge(self, last: bool) -> None:
        """Go to the first or the last candidate."""
        self._go(len(self._rows) if last else 0)

    def action_choose(self) -> None:
        """Toggle the selection of the response under the cursor and move on."""
        if self.current:
            self._chosen ^= {self.current.id}
            self._go(self._cursor + 1)

    def action_decide(self, decision: Decision) -> None:
        """Approve or reject the selected responses."""
        if responses := self.chosen:
            self._ask(Decide(tuple(responses), decision))
            if not self._chosen:
                self._go(self._cursor + 1)
            self._chosen.clear()

    def action_send(self) -> None:
        """Open the review before sending to training."""
        self._ask(ReviewSend())

    def action_find(self) -> None:
        """Score without memories again."""
        self._ask(FindCandidates())

    def action_toggle_alternates(self) -> None:
        """Toggle alternates."""
        self._ask(ToggleAlternates())

    def action_threshold(self, up: bool) -> None:
        """Raise or lower the threshold."""
        self._ask(MoveThreshold(up))

    def action_open_diff(self) -> None:
        """Show the diff."""
        self._ask(OpenDiff())

    def _ask(self, intent: CandidateIntent) -> None:
        self.post_message(UserIntent(intent))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked line."""
        self._go(event.y - 1 + round(self.scroll_offset.y))

    def on_resize(self) -> None:
        """Adjust the lines to the width."""
        self._measure()

    def render_line(self, y: int) -> Strip:
        """Draw the header, then one candidate per line."""
        width = self.scrollable_content_region.width  # without the scroll bar
        place = y - 1 + round(self.scroll_offset.y)
        if y == 0:
            pieces = [(shorten(self._header(width), width), _DIM)]
        elif place < len(self._rows):
            pieces = self._line(place, width)
        elif not self._rows and y == 2:
            pieces = [(shorten(self._why_empty(), width), _PLAIN)]
        else:
            pieces = []
        strip = Strip(Segment(text, style) for text, style in pieces)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def _measure(self) -> None:
        # Never wider than the visible area, so that nothing scrolls sideways.
        self.virtual_size = Size(1, len(self._rows) + 1)

    def _go(self, place: int) -> None:
        place = max(0, min(place, len(self._rows) - 1))
        if place != self._cursor:
            self._cursor = place
            self._anchor = self.current.id if self.current else None
            self.scroll_to_region(Region(0, place, 1, 2), animate=False)
            self.post_message(self.Moved())
        self.refresh()

    def _header(self, width: int) -> str:
        found = self._state.findings
        parts = [self._state.note] if self._state.note else []
        if gone := sum(trained.lost for trained in self._state.trained.values()):
            parts.append(f"{gone} weights lost (not saved)")
        parts.append(f"threshold {found.threshold:g} nats" if found else "threshold …")
        parts.append(f"alternates {'on' if self._state.alternates_on else 'off'}")
        if found and (left := found.without_timestamp):
            parts.append(f"{left} without a timestamp left out")
        line = parts[0]
        for part in parts[1:]:
            if cells(line) + 3 + cells(part) <= width:
                line += f" · {part}"
        return line

    def _why_empty(self) -> str:
        found = self._state.findings
        return (found.why_none or "") if found else "candidates are searched once the map is complete"

    def _line(self, place: int, width: int) -> list[tuple[str, Style]]:
        candidate = self._rows[place]
        cursor = "›" if place == self._cursor else " "
        chosen = "•" if candidate.id in self._chosen else " "
        state, style = self._state_of(candidate.id)
        lead = f"{cursor}{chosen}{candidate.index:>4}  {self._nats(candidate)}  "
        stamp = f"{one_line(candidate.timestamp)[slice(19) if width >= 100 else slice(11, 16)]}  "
        text = shorten(one_line(candidate.text), max(0, width - len(lead) - len(stamp) - 10))
        base = Style(reverse=True) if place == self._cursor and self.has_focus else _PLAIN
        return [
            (lead, base + _BOLD),
            (f"{state:<9} ", base + style),
            (stamp, base if base.reverse else _DIM),
            (text, base),
        ]

    def state_of(self, response: str) -> str:
        """Return the decision about a response or its training status, in one word."""
        return self._state_of(response)[0]

    def _nats(self, candidate: Candidate) -> str:
        """Return the divergence of a response; before and after, once a training was measured."""
        trained, before = self._state.trained.get(candidate.id), self._state.before.get(candidate.id)
        if trained is not None:
            before, now = candidate.divergence, trained.after
        else:
            now = candidate.divergence
        if not any(t.after is not None for t in self._state.trained.values()):
            return f"{candidate.divergence:7.2f}"
        told = f"{'':7}" if before is None else f"{before:7.2f}"
        return told + (f" → {now:6.2f}" if now is not None else f"{'':9}")

    def _state_of(self, response: str) -> tuple[str, Style]:
        if trained := self._state.trained.get(response):
            return ("training", _BOLD) if trained.running else ("lost" if trained.lost else "trained", _BOLD)
        if mark := self._state.marks.get(response):
            return mark, _BOLD
        decision = self._state.decisions.get(response)
        return (decision, _DECISION_STYLES[decision]) if decision else ("", _PLAIN)
