"""Which nodes are responses, and what they say."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from memscope.prompt.prompt import Pass, Response
from memscope.session.nodes import (
    Branch,
    Content,
    Leaf,
    Log,
    Memory,
    Node,
    Section,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
)
from memscope.session.text import leaf_text

__all__ = ["counted", "is_response", "node_label", "responses_of"]

_KINDS: dict[type[Node], str] = {
    Content: "content",
    Memory: "memory",
    Thinking: "thinking",
    ToolCall: "tool_call",
    ToolResult: "tool_result",
    Log: "log",
}


def is_response(section: Section, node: Node) -> bool:
    """Whether a node is a response: an assistant turn of the conversation that says something of its own."""
    return (
        section == "conversation"
        and isinstance(node, Branch)
        and node.role == "assistant"
        and any(_says_something(leaf) for leaf in node.children)
    )


def responses_of(session: Session) -> tuple[Response, ...]:
    """Return the responses of a session in order, not tokenised yet."""
    found: list[Response] = []
    for section, position, node in session.prompt_order():
        if isinstance(node, Branch) and is_response(section, node):
            text = "".join(leaf_text(leaf) for leaf in node.children if not isinstance(leaf, Memory))
            found.append(Response(len(found), position, 0, text, node.timestamp))
    return tuple(found)


def node_label(node: Node) -> str:
    """Say in a word what a node is: a turn's role, or the kind of a leaf as the session file writes it."""
    return node.role if isinstance(node, Branch) else _KINDS[type(node)]


def counted(responses: Sequence[Response], passes: Sequence[Pass]) -> tuple[Response, ...]:
    """Return the responses with the number of tokens that the passes score of each."""
    tokens = {index: len(one.continuation(index)) for one in passes for index in one.responses}
    return tuple(replace(response, tokens=tokens.get(response.index, 0)) for response in responses)


def _says_something(leaf: Leaf) -> bool:
    return isinstance(leaf, ToolCall) or (isinstance(leaf, Content | Thinking) and bool(leaf.text))
