"""The rows and columns of a grid, known from the session alone, before any tokenizer or model."""

from __future__ import annotations

from memscope.scoring.grid import Column, Row
from memscope.session.nodes import Branch, Content, Leaf, Memory, Node, Section, Session, Thinking, ToolCall
from memscope.session.text import leaf_text

__all__ = ["columns_of", "is_response", "one_line", "rows_of"]

_PREVIEW_CHARACTERS = 80


def is_response(section: Section, node: Node) -> bool:
    """Whether a node is a response: an assistant turn of the conversation that says something."""
    return (
        section == "conversation"
        and isinstance(node, Branch)
        and node.role == "assistant"
        and any(_spoken(leaf) for leaf in node.children)
    )


def columns_of(session: Session) -> tuple[Column, ...]:
    """Return the responses of a session, without token counts."""
    columns: list[Column] = []
    for section, position, node in session.prompt_order():
        if isinstance(node, Branch) and is_response(section, node):
            text = "".join(leaf_text(leaf) for leaf in node.children if not isinstance(leaf, Memory))
            columns.append(Column(len(columns), position, text, one_line(text), node.timestamp))
    return tuple(columns)


def rows_of(session: Session) -> tuple[Row, ...]:
    """Return the memories of a session in order of first appearance, without token counts."""
    first: dict[str, tuple[Section, str, int]] = {}
    appearances: dict[str, int] = {}
    responses = 0
    for section, _, node in session.prompt_order():
        for leaf in node.children if isinstance(node, Branch) else (node,):
            if isinstance(leaf, Memory):
                first.setdefault(leaf.key, (section, leaf.text, responses))
                appearances[leaf.key] = appearances.get(leaf.key, 0) + 1
        responses += is_response(section, node)
    return tuple(Row(key, section, text, appearances[key], column) for key, (section, text, column) in first.items())


def one_line(text: str) -> str:
    """Return the beginning of a text on one line, for lists."""
    return " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]


def _spoken(leaf: Leaf) -> bool:
    return isinstance(leaf, ToolCall) or (isinstance(leaf, Content | Thinking) and bool(leaf.text))
