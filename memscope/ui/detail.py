"""The detail pane: the memory and the response of a cell, with each token shaded by its change."""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum, isnan, nan
from typing import TYPE_CHECKING, ClassVar

import msgspec
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style as TextualStyle
from textual.widgets import Static

from memscope.scoring.grid import Measure, RowStatus
from memscope.scoring.layout import Column, Row
from memscope.scoring.plausibility import LEAST_EXPECTED, is_same_model
from memscope.terminal.safe import one_line, visible
from memscope.ui.keys import DETAIL
from memscope.ui.palette import Colours, token_style

if TYPE_CHECKING:
    from memscope.scoring.tokens import CellTokens

__all__ = ["CellFacts", "DetailPane", "describe"]

_BOLD, _DIM, _PLAIN = Style(bold=True), Style(dim=True), Style()
_RULE = Style(dim=True)
_CONDITIONS = {
    "necessity": ("everything present", "this memory left out"),
    "sufficiency": ("this memory alone", "no memory"),
}


class CellFacts(msgspec.Struct, frozen=True):
    """The grid's data on a cell.

    Attributes:
        measure: The measure.
        row: The memory.
        column: The response.
        value: The divergence in signed nats; NaN if not scored.
        status: The status of the row.
        error: Why the row failed.
        noise_floor: Differences of at most this many nats are indistinguishable from zero; None until measured.
        earlier: The value before the weights changed; None if it is not shown.
        version: The text of the memory that the response's prompt contains, if it has several; "" otherwise.
        cited: The memories that the response itself cites, and their divergence for it; see `Grid.cited`.
        scorer: The name of the model that scores; "" before it is known.
        mean_logprob: The response's log-probability with all memories, in nats per token; NaN if not scored.
    """

    measure: Measure
    row: Row
    column: Column
    value: float
    status: RowStatus
    error: str
    noise_floor: float | None
    earlier: float | None = None
    version: str = ""
    cited: tuple[tuple[str, float | None], ...] = ()
    scorer: str = ""
    mean_logprob: float = nan

    @property
    def absent(self) -> bool:
        """Whether the memory comes later, or is absent from the response's prompt."""
        return not self.row.affects(self.column.index)


def describe(cell: CellFacts, tokens: CellTokens | None, note: str, colours: Colours, *, dark: bool) -> Content:
    """Return everything about a cell as one text.

    Args:
        cell: The grid's data.
        tokens: The response token by token; None if not available.
        note: Why the tokens are not available.
        colours: The colour support of the terminal.
        dark: Whether the theme is dark.
    """
    parts = [*_memory(cell), *_numbers(cell, tokens)]
    if tokens is None or not any(tokens.with_memory):
        parts += [(visible(cell.column.text) + "\n", _PLAIN), (f"\n{one_line(note)}" if note else "", _DIM)]
    else:
        parts += _shaded(tokens, colours, dark)
    return Content.assemble(*((text, TextualStyle.from_rich_style(style)) for text, style in parts if text))


def _memory(cell: CellFacts) -> Iterator[tuple[str, Style]]:
    row = cell.row
    facts: list[str] = [row.section]
    if row.tokens is not None:
        facts.append(_count(row.tokens, "token"))
    if row.appearances > 1:
        facts.append(f"appears {row.appearances} times")
    if len(row.versions) > 1:
        facts.append(f"{len(row.versions)} versions")
    yield "memory ", _DIM
    yield one_line(row.key), _BOLD
    yield f"  {', '.join(facts)}\n", _DIM
    yield visible(cell.version or row.text) + "\n\n", _PLAIN


def _numbers(cell: CellFacts, tokens: CellTokens | None) -> Iterator[tuple[str, Style]]:
    column = cell.column
    facts = [_count(column.tokens, "token")] if column.tokens is not None else []
    facts += [one_line(column.timestamp)] if column.timestamp else []
    facts += [f"thread {column.thread}"] if column.thread else []
    facts += ["ended early"] if column.cut else []
    yield "response ", _DIM
    yield str(column.index), _BOLD
    yield (f"  {', '.join(facts)}\n" if facts else "\n"), _DIM
    yield from _model(cell)
    yield from _divergence(cell)
    yield from _cited(cell)
    if tokens is not None:
        present, absent = _CONDITIONS[cell.measure]
        with_, without = fsum(tokens.with_memory), fsum(tokens.without_memory)
        yield f"log p {with_:.2f} with {present}, {without:.2f} with {absent}\n", _DIM
    yield "\n", _PLAIN


def _cited(cell: CellFacts) -> Iterator[tuple[str, Style]]:
    """Yield what the response cites against what was measured."""
    if cell.cited:
        yield f"cites {', '.join(f'{one_line(key)} ({_nats(value)})' for key, value in cell.cited)}", _PLAIN
        yield ("" if any(key == cell.row.key for key, _ in cell.cited) else ", but not this memory") + "\n", _PLAIN


def _nats(value: float | None) -> str:
    if value is None:
        return "not in the prompt"
    return "not scored yet" if isnan(value) else f"{value:+.3f} nats"


def _model(cell: CellFacts) -> Iterator[tuple[str, Style]]:
    model = cell.column.model
    if model and cell.scorer and not is_same_model(model, cell.scorer):
        yield f"answered by {one_line(model)}, scored by {one_line(cell.scorer)}\n", _DIM
    if cell.mean_logprob < LEAST_EXPECTED:
        yield f"hardly expected by this model: {cell.mean_logprob:.1f} nats per token\n", _BOLD


def _divergence(cell: CellFacts) -> Iterator[tuple[str, Style]]:
    if cell.status == "failed":
        yield f"failed: {one_line(cell.error)}\n", Style(bold=True, color="red")
    elif cell.absent:
        yield "0 nats: this memory was not in the prompt of this response\n", _DIM
    elif cell.earlier is not None and not isnan(cell.earlier):
        now = "not scored yet" if isnan(cell.value) else f"{cell.value:+.3f} nats"
        yield f"{cell.earlier:+.3f} → {now}", _BOLD
        yield "" if isnan(cell.value) else f"  {cell.value - cell.earlier:+.3f} since the weights changed", _PLAIN
        yield "\n", _PLAIN
    elif isnan(cell.value):
        yield "not scored yet\n", _DIM
    elif cell.noise_floor is not None and abs(cell.value) <= cell.noise_floor:
        yield f"≈ 0 nats (below the noise floor of {cell.noise_floor:.1e})\n", _PLAIN
    else:
        yield f"{cell.value:+.3f} nats", _BOLD
        if cell.column.tokens:
            yield f"  {cell.value / cell.column.tokens:+.3f} per token", _PLAIN
        yield "\n", _PLAIN


def _shaded(tokens: CellTokens, colours: Colours, dark: bool) -> Iterator[tuple[str, Style]]:
    changes = [w - wo for w, wo in zip(tokens.with_memory, tokens.without_memory, strict=True)]
    for text, change in zip(tokens.texts, changes, strict=True):
        yield visible(text), token_style(change, colours, dark=dark)
    yield "\n\n", _PLAIN
    for change, words in ((5.0, "more likely with the memory"), (-5.0, "less likely")):
        yield " abc ", token_style(change, colours, dark=dark)
        yield f" {words}  ", _DIM
    yield "\n\n", _PLAIN
    largest = sorted(range(len(changes)), key=lambda place: -abs(changes[place]))[:5]
    yield "largest changes, nats\n", _DIM
    for place in largest:
        yield f"{changes[place]:+9.3f}  {one_line(repr(tokens.texts[place])[1:-1])}\n", _PLAIN


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


class DetailPane(VerticalScroll, can_focus=True):
    """Shows one cell; its text can be selected."""

    BINDINGS: ClassVar[list[BindingType]] = DETAIL

    def __init__(self, colours: Colours, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._colours: Colours = colours
        self._text = Static("", markup=False, id="detail-text")
        self._cell: CellFacts | None = None

    def compose(self) -> ComposeResult:
        """Create the text."""
        yield self._text

    def on_mount(self) -> None:
        """Show a placeholder."""
        self.border_title = Content("detail")
        self.show(None)

    def show(self, cell: CellFacts | None, tokens: CellTokens | None = None, note: str = "") -> None:
        """Show a cell; None if no row is shown."""
        moved = cell is None or self._cell is None or (cell.row, cell.column) != (self._cell.row, self._cell.column)
        self._cell = cell
        if cell is None:
            self._text.update(Content("no memory selected"))
            return
        self._text.update(describe(cell, tokens, note, self._colours, dark=self.app.current_theme.dark))
        if moved:
            self.scroll_home(animate=False)

    def focus_inside(self) -> None:
        """Focus the text."""
        self.focus()

    def copied(self) -> str:
        """Return the original texts of the memory and the response."""
        cell = self._cell
        return f"{cell.row.key}\n{cell.row.text}\n\n{cell.column.text}\n" if cell else ""
