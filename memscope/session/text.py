"""The text of nodes, as rendered in ChatML and shown on the screen, and which nodes are responses."""

from __future__ import annotations

import json
from collections.abc import Iterator

from memscope.session.nodes import Branch, Content, Leaf, Log, Memory, Node, Section, Session, Thinking, ToolCall

__all__ = ["is_response", "leaf_text", "responses"]


def leaf_text(leaf: Leaf) -> str:
    """Return the text of a leaf that the model reads; "" for a log."""
    match leaf:
        case Thinking():
            return f"<think>\n{leaf.text}\n</think>\n"
        case ToolCall():
            call = {"name": leaf.name, "arguments": leaf.arguments}
            return f"<tool_call>\n{json.dumps(call, ensure_ascii=False, separators=(',', ':'))}\n</tool_call>\n"
        case Log():
            return ""
        case _:
            return leaf.text


def is_response(section: Section, node: Node) -> bool:
    """Return whether a node is a response: an assistant turn in the conversation with text of its own."""
    return (
        section == "conversation"
        and isinstance(node, Branch)
        and node.role == "assistant"
        and any(_says_something(leaf) for leaf in node.children)
    )


def responses(session: Session) -> Iterator[tuple[int, Branch, str]]:
    """Yield the responses in order: position among the conversation's nodes, the turn, and its own text."""
    for section, position, node in session.prompt_order():
        if isinstance(node, Branch) and is_response(section, node):
            yield position, node, "".join(leaf_text(leaf) for leaf in node.children if not isinstance(leaf, Memory))


def _says_something(leaf: Leaf) -> bool:
    return isinstance(leaf, ToolCall) or (isinstance(leaf, Content | Thinking) and bool(leaf.text))
