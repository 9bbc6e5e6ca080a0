"""Sessions and their nodes: plain immutable data, independent of file formats and tokens.

A session is a list of nodes in file order. Each node belongs to one of four sections; the prompt has the sections in
the order of `SECTIONS`, and the nodes of a section in file order. A memory is identified by its key: the same key may
appear several times and is one memory.

In an append-only session the prompt of a response is everything before it. A session with `calls` was recorded or
reconstructed call by call: each response has the prompt of its own call, which names nodes in the order they were sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

__all__ = [
    "RESULT_FIELD",
    "SECTIONS",
    "Branch",
    "Call",
    "CallStatus",
    "Content",
    "Header",
    "Leaf",
    "Log",
    "Memory",
    "Node",
    "Opaque",
    "Section",
    "Session",
    "Source",
    "SourceContext",
    "Thinking",
    "ToolCall",
    "ToolResult",
    "memories_of",
]

Section: TypeAlias = Literal["system", "identity", "journal", "conversation"]
SECTIONS: tuple[Section, ...] = get_args(Section)
"""The sections in prompt order."""


RESULT_FIELD = "tool_result"
"""The unknown field of a memory that was found inside a tool result: the id of the result."""


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    """Fields shared by all nodes: the section, and unknown fields of the file, which are kept."""

    section: Section = "conversation"
    extra: Mapping[str, Any] = {}


class Content(_Node, frozen=True):
    """Plain text of a turn.

    `token_ids` are its exact ids where they are known, as in a completion that was requested with ids.
    """

    text: str
    token_ids: tuple[int, ...] | None = None


class Memory(_Node, frozen=True):
    """One appearance of a memory. `text` is exactly what the model saw."""

    key: str
    text: str


class Thinking(_Node, frozen=True):
    """The model's reasoning before an answer."""

    text: str


class ToolCall(_Node, frozen=True):
    """A call of a tool; `arguments` is any JSON value."""

    name: str
    arguments: Any = None


class ToolResult(_Node, frozen=True):
    """What a tool returned."""

    text: str


class Log(_Node, frozen=True):
    """A log entry of the agent's host that is never sent to the model."""

    text: str


class Opaque(_Node, frozen=True):
    """A part that is not text, such as an image or encrypted reasoning: counted, but neither rendered nor scored.

    `kind` is its type in the source, `size` its length there in bytes.
    """

    kind: str
    size: int = 0


Leaf: TypeAlias = Content | Memory | Thinking | ToolCall | ToolResult | Log | Opaque


class Branch(_Node, frozen=True):
    """A turn: a role and its leaves. `timestamp` is the RFC 3339 timestamp from the file, or None."""

    role: str
    children: tuple[Leaf, ...] = ()
    timestamp: str | None = None


Node: TypeAlias = Leaf | Branch


CallStatus: TypeAlias = Literal["complete", "cut", "failed"]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model.

    Attributes:
        id: Its identity within the session, which stays when the session grows.
        prompt: Positions in `Session.nodes` of the prompt's nodes, in the order they were sent: a tuple, or `Positions`
            that calls share which extend each other.
        response: Position in `Session.nodes` of the response, which no other call has; None if there is none.
        tools: The tool definitions that were sent, passed to the chat template unchanged.
        model: Name of the model that answered; "" if unknown.
        timestamp: The RFC 3339 timestamp of the request, or None.
        api: "openai-chat", "openai-responses", "openai-completions", "anthropic-messages"; "" if unknown. The nodes of
            a completion are raw text, rendered without a chat template.
        status: "cut": the response ended early and is scored as far as it goes. "failed": there is no response.
        cited: Keys of the memories that the response itself cites.
        extra: Unknown fields of the file, which are kept.
    """

    id: str
    prompt: Sequence[int]
    response: int | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    model: str = ""
    timestamp: str | None = None
    api: str = ""
    status: CallStatus = "complete"
    cited: tuple[str, ...] = ()
    extra: Mapping[str, Any] = {}


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a session; `model` is the name of the model that wrote the responses, if known."""

    id: str
    title: str = ""
    model: str = ""
    extra: Mapping[str, Any] = {}


SourceContext: TypeAlias = Literal["whole context", "reconstructed", "from disk"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session came from, and how complete it is.

    Attributes:
        path: The file name, or "" for a session created in memory.
        format: The name of the format: "native", "chat", …
        context: How much of what the model saw is in the file: all of it, or less, so that it was reconstructed; "from
            disk": memory files were read from disk, where they may have changed since.
        rules: The keys that each detector rule found, in order of appearance.
        searched: The detector rules that were applied; empty if the format names its memories itself.
        notes: What was skipped, changed or guessed, one line each.
        choice: Of a file with several conversations, which one this is and how to choose another; also one of `notes`.
    """

    path: str = ""
    format: str = "native"
    context: SourceContext = "whole context"
    rules: Mapping[str, tuple[str, ...]] = {}
    searched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    choice: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A header and the nodes in file order.

    Attributes:
        header: Its metadata.
        nodes: All nodes of all sections, in file order.
        source: Where it came from.
        tools: The tool definitions of a chat session, passed to the chat template unchanged.
        calls: The calls in order of time; empty for an append-only session.
    """

    header: Header
    nodes: tuple[Node, ...]
    source: Source = Source()
    tools: tuple[Mapping[str, Any], ...] = ()
    calls: tuple[Call, ...] = ()

    def section(self, name: Section) -> tuple[Node, ...]:
        """Return the nodes of one section in order."""
        return tuple(node for node in self.nodes if node.section == name)

    def prompt_order(self) -> Iterator[tuple[Section, int, Node]]:
        """Yield (section, position within that section, node) in prompt order."""
        for name in SECTIONS:
            for position, node in enumerate(self.section(name)):
                yield name, position, node

    def entry_indices(self) -> tuple[int, ...]:
        """Return the position within its section of each node, in the order of `nodes`."""
        counts: dict[Section, int] = dict.fromkeys(SECTIONS, 0)
        indices = []
        for node in self.nodes:
            indices.append(counts[node.section])
            counts[node.section] += 1
        return tuple(indices)

    def memory_keys(self) -> tuple[str, ...]:
        """Return the distinct memory keys in order of first appearance in the prompt."""
        keys: dict[str, None] = {}
        for _, _, node in self.prompt_order():
            keys |= dict.fromkeys(memory.key for memory in memories_of(node))
        return tuple(keys)


def memories_of(node: Node) -> tuple[Memory, ...]:
    """Return the memories in a node, or the node itself if it is one."""
    leaves = node.children if isinstance(node, Branch) else (node,)
    return tuple(leaf for leaf in leaves if isinstance(leaf, Memory))
