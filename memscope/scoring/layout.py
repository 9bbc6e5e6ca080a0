"""The rows and columns of a session: memories by key, responses by id.

A layout follows from the session alone, without a tokenizer or model. Positions are valid only within one layout: a
session that grows gets a new one, and everything kept (scores, marks, the cursor) is looked up by key and id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from memscope.prompt.prompt import Prompt
from memscope.session.identity import response_id
from memscope.session.nodes import Branch, Memory, Section, Session
from memscope.session.text import is_response, responses

__all__ = ["Column", "Layout", "Row", "layout_of", "preview_line"]

_PREVIEW_CHARACTERS = 80


class Row(msgspec.Struct, frozen=True):
    """One memory.

    Attributes:
        key: Its identity.
        section: Where it first appears.
        text: The text of its first appearance.
        appearances: How many times it appears.
        tokens: Its length over all appearances, in tokens; None before tokenisation.
        first_column: Position of the first response after its first appearance; equals the number of responses if
            there is none.
    """

    key: str
    section: Section
    text: str
    appearances: int
    first_column: int
    tokens: int | None = None


class Column(msgspec.Struct, frozen=True):
    """One response.

    Attributes:
        id: Its identity; see `memscope.session.identity`.
        index: Its position among the responses, as shown to users.
        entry_index: Its position among the conversation's nodes.
        text: The scored text.
        preview: The beginning of the text on one line.
        timestamp: Its RFC 3339 timestamp from the session file, or None.
        tokens: Number of scored tokens, including the closing marker; None before tokenisation.
    """

    id: str
    index: int
    entry_index: int
    text: str
    preview: str
    timestamp: str | None
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
        """Return the ids of the responses after a memory's first appearance, which it can affect.

        Raises:
            KeyError: There is no such memory.
        """
        return self.responses[self.rows[self._rows[key]].first_column :]

    def positions(self, ids: Iterable[str]) -> list[int]:
        """Return the positions of responses in ascending order; unknown ids are ignored."""
        return sorted(self._columns[id_] for id_ in ids if id_ in self._columns)

    def with_token_counts(self, prompt: Prompt) -> Layout:
        """Return this layout with the token counts and first affected responses of a prompt."""
        spans = {memory.key: memory for memory in prompt.memories}
        rows = [
            replace(row, tokens=spans[row.key].tokens, first_column=spans[row.key].first_response) for row in self.rows
        ]
        tokens = {response.entry_index: response.tokens for response in prompt.responses}
        return Layout(rows, [replace(column, tokens=tokens[column.entry_index]) for column in self.columns])


def layout_of(session: Session) -> Layout:
    """Return the memories and responses of a session, without token counts."""
    return Layout(_rows(session), _columns(session))


def preview_line(text: str) -> str:
    """Return the beginning of a text on one line, for display in lists."""
    return " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]


def _columns(session: Session) -> Sequence[Column]:
    return [
        Column(
            response_id(session.header.id, one),
            index,
            one.entry_index,
            one.text,
            preview_line(one.text),
            one.timestamp,
        )
        for index, one in enumerate(responses(session))
    ]


def _rows(session: Session) -> Sequence[Row]:
    first: dict[str, tuple[Section, str, int]] = {}
    appearances: dict[str, int] = {}
    said = 0
    for section, _, node in session.prompt_order():
        for leaf in node.children if isinstance(node, Branch) else (node,):
            if isinstance(leaf, Memory):
                first.setdefault(leaf.key, (section, leaf.text, said))
                appearances[leaf.key] = appearances.get(leaf.key, 0) + 1
        said += is_response(section, node)
    return [Row(key, section, text, appearances[key], column) for key, (section, text, column) in first.items()]
