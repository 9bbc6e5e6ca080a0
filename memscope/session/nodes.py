"""The nodes of a session and the session itself: plain immutable data, no file format and no tokens.

A session is a list of nodes in the order of its file. A node stands in one of four sections; the prompt takes the
sections in the order of `SECTIONS`, and the nodes of a section in file order. A memory's identity is its key: the same
key may appear several times and is one memory.
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
"""The sections in the order in which the prompt takes them."""


class _Node(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes share: where they stand, and fields of the file that memscope does not know but keeps."""

    section: Section = "conversation"
    extra: Mapping[str, Any] = {}


class Content(_Node, frozen=True):
    """Plain text of a turn."""

    text: str


class Memory(_Node, frozen=True):
    """A memory, or one more appearance of it. `text` is exactly what the model saw of it."""

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
    """A remark of the agent's host that is never sent to the model."""

    text: str


Leaf: TypeAlias = Content | Memory | Thinking | ToolCall | ToolResult | Log


class Branch(_Node, frozen=True):
    """A turn: a role and its leaves. `timestamp` is the RFC 3339 text of the file, or None."""

    role: str
    children: tuple[Leaf, ...] = ()
    timestamp: str | None = None


Node: TypeAlias = Leaf | Branch


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The session's own description; `model` is the name of the model that answered, if known."""

    id: str
    title: str = ""
    model: str = ""
    extra: Mapping[str, Any] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session came from and how far it can be trusted.

    Attributes:
        path: The file as the user named it, or "" for a session made in memory.
        format: "native", "chat", …: the importer that read it.
        whole: True when the file holds the whole context the model saw; False when it had to be reconstructed.
        rules: For each detector rule that found memories, the keys it found, in order of appearance.
        notes: One line each: what was skipped, changed or guessed.
    """

    path: str = ""
    format: str = "native"
    whole: bool = True
    rules: Mapping[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A header and the nodes in file order.

    Attributes:
        header: The session's own description.
        nodes: All nodes of all sections, in file order.
        source: Where the session came from.
        tools: The tool definitions of a chat session, passed to the chat template as they are.
    """

    header: Header
    nodes: tuple[Node, ...]
    source: Source = Source()
    tools: tuple[Mapping[str, Any], ...] = ()

    def section(self, name: Section) -> tuple[Node, ...]:
        """Return the nodes of one section in order."""
        return tuple(node for node in self.nodes if node.section == name)

    def prompt_order(self) -> Iterator[tuple[Section, int, Node]]:
        """Yield (section, position within that section, node) in the order in which the model reads them."""
        for name in SECTIONS:
            for position, node in enumerate(self.section(name)):
                yield name, position, node

    def memory_keys(self) -> tuple[str, ...]:
        """Return every memory key once, in order of first appearance in the prompt."""
        keys: dict[str, None] = {}
        for _, _, node in self.prompt_order():
            for leaf in node.children if isinstance(node, Branch) else (node,):
                if isinstance(leaf, Memory):
                    keys.setdefault(leaf.key)
        return tuple(keys)
