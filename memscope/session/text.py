"""The text of nodes, as rendered in ChatML and shown on the screen, and which nodes are responses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memscope.session.nodes import (
    Branch,
    Call,
    Content,
    Leaf,
    Log,
    Memory,
    Node,
    Opaque,
    Section,
    Session,
    Thinking,
    ToolCall,
)
from memscope.session.rules.base import Origin

__all__ = [
    "HEAD_ROLES",
    "THINKING_END",
    "WRITTEN_ROLES",
    "RecordedResponse",
    "is_head_turn",
    "is_response",
    "leaf_text",
    "origin_of",
    "responses",
]


THINKING_END = "\n</think>\n"
"""What ends reasoning where it is written as text."""

HEAD_ROLES = ("system", "developer")
"""The roles of instructions, whose messages belong to the system section while no other message precedes them."""

WRITTEN_ROLES = ("assistant", "completion")
"""The roles of turns that a model wrote."""
_ORIGINS: Mapping[str, Origin] = {
    "system": "system",
    "developer": "system",
    "prompt": "system",
    "tool": "tool",
    "function": "tool",
}


class RecordedResponse(NamedTuple):
    """A response in a session.

    Attributes:
        entry_index: Its position among the conversation's nodes.
        turn: Its node.
        text: Its own text.
        call: The call that produced it; None in an append-only session.
    """

    entry_index: int
    turn: Branch
    text: str
    call: Call | None = None

    @property
    def timestamp(self) -> str | None:
        """Its RFC 3339 timestamp, or None."""
        return (self.call.timestamp if self.call else None) or self.turn.timestamp


def is_head_turn(node: Node) -> bool:
    """Return whether a node is a turn of instructions."""
    return isinstance(node, Branch) and node.role in HEAD_ROLES


def origin_of(role: str) -> Origin | None:
    """Return where the text of a turn with this role comes from; None if a model wrote it."""
    return None if role in WRITTEN_ROLES else _ORIGINS.get(role, "user")


def leaf_text(leaf: Leaf) -> str:
    """Return the text of a leaf that the model reads; "" for a log or anything opaque."""
    match leaf:
        case Thinking():
            return f"<think>\n{leaf.text}{THINKING_END}"
        case ToolCall():
            call = {"name": leaf.name, "arguments": leaf.arguments}
            return f"<tool_call>\n{json.dumps(call, ensure_ascii=False, separators=(',', ':'))}\n</tool_call>\n"
        case Log() | Opaque():
            return ""
        case _:
            return leaf.text


def is_response(section: Section, node: Node) -> bool:
    """Return whether a node of an append-only session is a response: an assistant turn with text of its own."""
    return section == "conversation" and isinstance(node, Branch) and node.role == "assistant" and _says_something(node)


def responses(session: Session) -> Iterator[RecordedResponse]:
    """Yield the responses in order."""
    if session.calls:
        yield from _call_responses(session)
        return
    for section, position, node in session.prompt_order():
        if isinstance(node, Branch) and is_response(section, node):
            yield RecordedResponse(position, node, _own_text(node))


def _call_responses(session: Session) -> Iterator[RecordedResponse]:
    entries = session.entry_indices()
    for call in session.calls:
        node = None if call.response is None else session.nodes[call.response]
        if call.response is not None and isinstance(node, Branch) and _says_something(node):
            yield RecordedResponse(entries[call.response], node, _own_text(node), call)


def _own_text(turn: Branch) -> str:
    return "".join(leaf_text(leaf) for leaf in turn.children if not isinstance(leaf, Memory))


def _says_something(turn: Branch) -> bool:
    return any(
        isinstance(leaf, ToolCall)
        or (isinstance(leaf, Content | Thinking) and bool(leaf.text))
        or (isinstance(leaf, Content) and bool(leaf.token_ids))
        for leaf in turn.children
    )
