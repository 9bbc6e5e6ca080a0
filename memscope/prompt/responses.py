"""The responses of a session, and labels of nodes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from memscope.prompt.prompt import Response
from memscope.prompt.sequence import TokenSequence
from memscope.session.nodes import (
    Branch,
    Content,
    Log,
    Memory,
    Node,
    Opaque,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
)
from memscope.session.text import responses

__all__ = ["node_label", "responses_of", "with_token_counts"]

_KINDS: dict[type[Node], str] = {
    Content: "content",
    Memory: "memory",
    Thinking: "thinking",
    ToolCall: "tool_call",
    ToolResult: "tool_result",
    Log: "log",
    Opaque: "opaque",
}


def responses_of(session: Session) -> tuple[Response, ...]:
    """Return the responses of a session in order, without token counts."""
    said = enumerate(responses(session))
    return tuple(Response(index, one.entry_index, 0, one.text, one.timestamp) for index, one in said)


def node_label(node: Node) -> str:
    """Return a one-word label of a node: the role of a turn, or the type of a leaf as in the session file."""
    return node.role if isinstance(node, Branch) else _KINDS[type(node)]


def with_token_counts(found: Sequence[Response], sequences: Sequence[TokenSequence]) -> tuple[Response, ...]:
    """Return the responses with the number of their tokens that are scored in the sequences."""
    tokens = {index: len(one.continuation(index)) for one in sequences for index in one.responses}
    return tuple(replace(response, tokens=tokens.get(response.index, 0)) for response in found)
