"""Generated sessions as sessions of the native format."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memscope.demo.build.generator import Block
from memscope.session.nodes import Branch, Content, Header, Memory, Node, Session, ToolCall, ToolResult


def as_session(blocks: Sequence[Block]) -> Session:
    """Return the same as nodes; memories before the first question stand in the identity section."""
    nodes: list[Node] = []
    for number, block in enumerate(blocks):
        begun = any(earlier.role == "user" for earlier in blocks[:number])
        nodes.append(_node(block, number, begun=begun))
    return Session(header=Header(id="generated"), nodes=tuple(nodes))


def _node(block: Block, number: int, *, begun: bool) -> Node:
    if block.role == "memory":
        return Memory(key=block.key, text=block.text, section="conversation" if begun else "identity")
    if block.role == "tool":
        return ToolResult(text=block.text)
    if block.role == "system":
        return Branch(role="system", section="system", children=(Content(text=block.text),))
    leaf: Content | ToolCall = Content(text=block.text)
    if block.text.startswith("<tool_call>"):
        leaf = ToolCall(**json.loads(block.text.split("\n")[1]))
    stamp = f"2026-11-20T10:{number // 60 % 60:02}:{number % 60:02}Z"
    return Branch(role=block.role, timestamp=stamp, children=(leaf,))
