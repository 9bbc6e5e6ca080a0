"""Sessions and their nodes: plain immutable data, independent of file formats and tokens.

A session is a list of nodes in file order. Each node belongs to one of four sections; the prompt has the sections in
the order of `SECTIONS`, and the nodes of a section in file order. A memory is identified by its key: the same key may
appear several times and is one memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import msgspec

__all__ = [
    "SECTIONS",
    "Branch",
    "Content",
    "Header",
    "Leaf",
    "Log",
    "Memory",
    "Node",
    "Section",
    "Session",
    "Source",
    "Thinking",
    "ToolCall",
    "ToolResult",
]

Section: TypeAlias = Literal["system", "identity", "journal", "conversation"]
SECTIONS: tuple[Section, ...] = get_args(Section)
"""The sections in prompt order."""


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    """Fields shared by all nodes: the section, and unknown fields of the file, which are kept."""

    section: Section = "conversation"
    extra: Mapping[str, Any] = {}


class Content(_Node, frozen=True):
    """Plain text of a turn."""

    text: str


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


Leaf: TypeAlias = Content | Memory | Thinking | ToolCall | ToolResult | Log


class Branch(_Node, frozen=True):
    """A turn: a role and its leaves. `timestamp` is the RFC 3339 timestamp from the file, or None."""

    role: str
    children: tuple[Leaf, ...] = ()
    timestamp: str | None = None


Node: TypeAlias = Leaf | Branch


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a session; `model` is the name of the model that wrote the responses, if known."""

    id: str
    title: str = ""
    model: str = ""
    extra: Mapping[str, Any] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session came from, and how complete it is.

    Attributes:
        path: The file name, or "" for a session created in memory.
        format: The name of the format: "native", "chat", …
        whole: Whether the file contains the whole context the model saw; False if it was reconstructed.
        rules: The keys that each detector rule found, in order of appearance.
        notes: What was skipped, changed or guessed, one line each.
    """

    path: str = ""
    format: str = "native"
    whole: bool = True
    rules: Mapping[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A header and the nodes in file order.

    Attributes:
        header: Its metadata.
        nodes: All nodes of all sections, in file order.
        source: Where it came from.
        tools: The tool definitions of a chat session, passed to the chat template unchanged.
    """

    header: Header
    nodes: tuple[Node, ...]
    source: Source = Source()
    tools: tuple[Mapping[str, Any], ...] = ()

    def section(self, name: Section) -> tuple[Node, ...]:
        """Return the nodes of one section in order."""
        return tuple(node for node in self.nodes if node.section == name)

    def prompt_order(self) -> Iterator[tuple[Section, int, Node]]:
        """Yield (section, position within that section, node) in prompt order."""
        for name in SECTIONS:
            for position, node in enumerate(self.section(name)):
                yield name, position, node

    def memory_keys(self) -> tuple[str, ...]:
        """Return the distinct memory keys in order of first appearance in the prompt."""
        keys: dict[str, None] = {}
        for _, _, node in self.prompt_order():
            for leaf in node.children if isinstance(node, Branch) else (node,):
                if isinstance(leaf, Memory):
                    keys.setdefault(leaf.key)
        return tuple(keys)
