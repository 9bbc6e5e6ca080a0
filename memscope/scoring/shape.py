"""The rows and columns of a grid, known from the session alone, before any tokenizer or model."""

from __future__ import annotations

from memscope.scoring.grid import Column, Row
from memscope.session.nodes import Branch, Memory, Section, Session
from memscope.session.text import is_response, responses

__all__ = ["columns_of", "one_line", "rows_of"]

_PREVIEW_CHARACTERS = 80


def columns_of(session: Session) -> tuple[Column, ...]:
    """Return the responses of a session, without token counts."""
    said = enumerate(responses(session))
    return tuple(Column(i, position, text, one_line(text), turn.timestamp) for i, (position, turn, text) in said)


def rows_of(session: Session) -> tuple[Row, ...]:
    """Return the memories of a session in order of first appearance, without token counts."""
    first: dict[str, tuple[Section, str, int]] = {}
    appearances: dict[str, int] = {}
    said = 0
    for section, _, node in session.prompt_order():
        for leaf in node.children if isinstance(node, Branch) else (node,):
            if isinstance(leaf, Memory):
                first.setdefault(leaf.key, (section, leaf.text, said))
                appearances[leaf.key] = appearances.get(leaf.key, 0) + 1
        said += is_response(section, node)
    return tuple(Row(key, section, text, appearances[key], column) for key, (section, text, column) in first.items())


def one_line(text: str) -> str:
    """Return the beginning of a text on one line, for lists."""
    return " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]
