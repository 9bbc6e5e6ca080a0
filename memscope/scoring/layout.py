"""The rows and columns of a session: memories by key, responses by id.

A layout follows from the session alone, without a tokenizer or model. Positions are valid only within one layout: a
session that grows gets a new one, and everything kept (scores, marks, the cursor) is looked up by key and id.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from memscope.prompt.prompt import Prompt
from memscope.session.identity import response_id
from memscope.session.nodes import Section, Session
from memscope.session.presence import memory_presence
from memscope.session.text import RecordedResponse, responses
from memscope.session.threads import Thread, response_threads

__all__ = ["Column", "Layout", "Row", "layout_of", "preview_line", "select"]

T = TypeVar("T")

_PREVIEW_CHARACTERS = 80


class Row(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        text: The text of its first appearance.
        appearances: How many times it appears; in a session with calls, in one prompt at most.
        columns: Ascending positions of the responses that it can affect; it comes later or is absent for the others.
        versions: Its distinct texts in order of first appearance.
        tokens: Its length over all appearances, in tokens; None before tokenisation.
    """

    key: str
    section: Section
    text: str
    appearances: int
    columns: Sequence[int]
    versions: tuple[str, ...] = ()
    tokens: int | None = None

    def affects(self, column: int) -> bool:
        """Return whether the memory can affect the response at this position."""
        if isinstance(self.columns, range):
            return column in self.columns
        at = bisect_left(self.columns, column)
        return at < len(self.columns) and self.columns[at] == column


class Column(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        id: Its identity; see `memscope.session.identity`.
        index: Its position among the responses, as shown to users.
        entry_index: Its position among the conversation's nodes.
        text: The scored text.
        preview: The beginning of the text on one line.
        timestamp: Its RFC 3339 timestamp from the session file, or None.
        thread: The number of its thread; see `memscope.session.threads`.
        side: Whether it is a side call, which the screen hides at first.
        model: Name of the model that answered; "" if unknown.
        cut: Whether the response ended early.
        cited: Keys of the memories that the response itself cites.
        tokens: Number of scored tokens, including the closing marker; None before tokenisation.
    """

    id: str
    index: int
    entry_index: int
    text: str
    preview: str
    timestamp: str | None
    thread: int = 0
    side: bool = False
    model: str = ""
    cut: bool = False
    cited: tuple[str, ...] = ()
    tokens: int | None = None


class Layout:
    """The memories and responses of one version of a session.

    Attributes:
        rows: The memories in order of first appearance.
        columns: The responses in order.
        keys: The keys of the memories in order.
        responses: The ids of the responses in order.
    """

    __slots__ = ("_columns", "_rows", "columns", "keys", "responses", "rows")

    def __init__(self, rows: Iterable[Row], columns: Iterable[Column]) -> None:
        self.rows, self.columns = tuple(rows), tuple(columns)
        self._rows = {row.key: place for place, row in enumerate(self.rows)}
        self._columns = {column.id: place for place, column in enumerate(self.columns)}
        self.keys, self.responses = tuple(self._rows), tuple(self._columns)

    def row_index(self, key: str) -> int | None:
        """Return the position of a memory; None if there is no such key."""
        return self._rows.get(key)

    def column_index(self, response: str) -> int | None:
        """Return the position of a response; None if there is no such id."""
        return self._columns.get(response)

    def affected_responses(self, key: str) -> tuple[str, ...]:
        """Return the ids of the responses that a memory can affect.

        Raises:
            KeyError: There is no such memory.
        """
        return select(self.responses, self.rows[self._rows[key]].columns)

    def positions(self, ids: Iterable[str]) -> list[int]:
        """Return the positions of responses in ascending order; unknown ids are ignored."""
        return sorted(self._columns[id_] for id_ in ids if id_ in self._columns)

    def with_token_counts(self, prompt: Prompt) -> Layout:
        """Return this layout with the token counts of a prompt."""
        tokens = {memory.key: memory.tokens for memory in prompt.memories}
        rows = [replace(row, tokens=tokens[row.key]) for row in self.rows]
        pairs = zip(self.columns, prompt.responses, strict=True)
        return Layout(rows, [replace(column, tokens=response.tokens) for column, response in pairs])


def select(values: tuple[T, ...], positions: Sequence[int]) -> tuple[T, ...]:
    """Return the values at some positions."""
    if isinstance(positions, range):
        return values[positions.start : positions.stop]
    return tuple([values[position] for position in positions])


def layout_of(session: Session) -> Layout:
    """Return the memories and responses of a session, without token counts."""
    return Layout(_rows(session), _columns(session))


def preview_line(text: str) -> str:
    """Return the beginning of a text on one line, for display in lists."""
    return " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]


def _columns(session: Session) -> Sequence[Column]:
    pairs = zip(responses(session), response_threads(session), strict=True)
    return [_column(session, index, one, thread) for index, (one, thread) in enumerate(pairs)]


def _column(session: Session, index: int, response: RecordedResponse, thread: Thread) -> Column:
    call = response.call
    return Column(
        id=response_id(session.header.id, response),
        index=index,
        entry_index=response.entry_index,
        text=response.text,
        preview=preview_line(response.text),
        timestamp=response.timestamp,
        thread=thread.number,
        side=thread.side,
        model=(call.model if call else "") or session.header.model,
        cut=call is not None and call.status == "cut",
        cited=call.cited if call else (),
    )


def _rows(session: Session) -> Sequence[Row]:
    return [
        Row(key, memory.section, memory.versions[0], memory.appearances, memory.responses, memory.versions)
        for key, memory in memory_presence(session).items()
    ]
