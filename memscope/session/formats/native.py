"""The native session format: append-only JSON Lines with a header, then one node per line.

Reading validates everything and reports file, line and field of the first error. Unknown fields are kept in `extra`,
and `native_writer` writes them back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.fields import Fields
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.nodes import (
    SECTIONS,
    Branch,
    Content,
    Header,
    Leaf,
    Log,
    Memory,
    Node,
    Section,
    Session,
    Source,
    Thinking,
    ToolCall,
    ToolResult,
)
from memscope.session.timestamps import is_timestamp

__all__ = ["FORMAT", "TEXT_LEAVES", "VERSION", "NativeReader", "read_native"]

VERSION = 1
TEXT_LEAVES: Mapping[str, type[Content | Thinking | ToolResult | Log]] = {
    "content": Content,
    "thinking": Thinking,
    "tool_result": ToolResult,
    "log": Log,
}
"""The leaf types that have only a text, by their name in the format."""

_BROKEN_HEADER = re.compile(rb'\{[ \t]*"type"(?![ \t]*:[ \t]*"recording")')
"""A first line that is not JSON but begins like a native one, so that its error is reported as one."""


def _text_leaf(kind: type[Content | Thinking | ToolResult | Log]) -> Callable[[Fields, Section], Leaf]:
    return lambda fields, section: kind(text=fields.text("text"), section=section, extra=fields.extra)


def _memory(fields: Fields, section: Section) -> Leaf:
    key, text = fields.text("key", empty=False), fields.text("text")
    return Memory(key=key, text=text, section=section, extra=fields.extra)


def _tool_call(fields: Fields, section: Section) -> Leaf:
    name, arguments = fields.text("name", empty=False), fields.pop("arguments")
    return ToolCall(name=name, arguments=arguments, section=section, extra=fields.extra)


_LEAVES: Mapping[str, Callable[[Fields, Section], Leaf]] = {
    **{name: _text_leaf(kind) for name, kind in TEXT_LEAVES.items()},
    "memory": _memory,
    "tool_call": _tool_call,
}
NODE_TYPES = ("branch", *_LEAVES)
"""The valid values of a node's field `type`."""


def _node(fields: Fields) -> Node:
    kind = fields.text("type", empty=False)
    section: Section = fields.take("section", str, f"one of {', '.join(SECTIONS)}", "conversation")
    if section not in SECTIONS:
        raise fields.error("section", f"one of {', '.join(SECTIONS)}", section)
    if kind == "branch":
        return _branch(fields, section)
    if kind == "session":
        raise fields.error("type", "a node: a session has one header, on its first line", kind)
    if kind not in _LEAVES:
        raise fields.error("type", f"one of {', '.join(NODE_TYPES)}", kind)
    return _LEAVES[kind](fields, section)


def _branch(fields: Fields, section: Section) -> Branch:
    role = fields.text("role", empty=False)
    stamp = fields.take("timestamp", str, "an RFC 3339 time", None)
    if stamp is not None and not is_timestamp(stamp):
        raise fields.error("timestamp", "an RFC 3339 time such as 2026-11-20T10:00:00Z", stamp)
    children = fields.take("children", list, "a list of leaves", [])
    leaves = tuple(_child(fields.child("children", n, value), section) for n, value in enumerate(children))
    return Branch(role=role, children=leaves, timestamp=stamp, section=section, extra=fields.extra)


def _child(fields: Fields, section: Section) -> Leaf:
    kind = fields.text("type", empty=False)
    if kind == "branch":
        raise fields.error("type", "a leaf: a branch cannot hold a branch", kind)
    if kind not in _LEAVES:
        raise fields.error("type", f"one of {', '.join(_LEAVES)}", kind)
    if (own := fields.pop("section")) is not None:
        raise fields.error("section", "no section: children inherit their branch's section", own)
    return _LEAVES[kind](fields, section)


def _header(fields: Fields) -> Header:
    kind = fields.text("type", empty=False)
    if kind != "session":
        raise fields.error("type", "a header of type session on the first line", kind)
    version = fields.take("version", int, f"version {VERSION}")
    if version != VERSION:
        raise fields.error("version", f"version {VERSION}, which this memscope supports", version)
    name = fields.text("id", empty=False)
    title = fields.take("title", str, "a string", "")
    model = fields.take("model", str, "a string", "")
    return Header(id=name, title=title, model=model, extra=fields.extra)


class NativeReader:
    """Reads a native session. A last line without a newline is kept until the newline arrives or `finish` is called."""

    def __init__(self, name: str) -> None:
        """Create a reader for the file with this name."""
        self._name = name
        self._lines = LineReader(name)
        self._header: Header | None = None
        self._nodes: list[Node] = []

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._take(self._lines.feed(data))

    def finish(self) -> None:
        """See `SessionReader.finish`."""
        self._take(self._lines.finish())

    def session(self) -> Session:
        """See `SessionReader.session`."""
        if self._header is None:
            raise SessionError(f"{self._name}:1: expected a header of type session on the first line, got nothing")
        return Session(
            header=self._header, nodes=tuple(self._nodes), source=Source(path=self._name, format=FORMAT.name)
        )

    def _take(self, lines: Iterable[JsonLine]) -> None:
        for line in lines:
            fields = Fields(line.value, line.where)
            if self._header is None:
                self._header = _header(fields)
            else:
                self._nodes.append(_node(fields))


def read_native(data: bytes, name: str) -> Session:
    """Read a whole native session.

    Raises:
        SessionError: The file is invalid; the message names file, line and field.
    """
    reader = NativeReader(name)
    reader.feed(data)
    reader.finish()
    return reader.session()


def _recognises(head: FileHead) -> bool:
    match head.first:
        case None:
            return _BROKEN_HEADER.match(head.data) is not None
        case {"type": str(kind)}:
            return kind == "session" or kind in NODE_TYPES
    return False


def _reader(name: str, _: NewDetector) -> NativeReader:
    return NativeReader(name)


FORMAT = SessionFormat(
    name="native",
    expected="a header line of type session",
    appends=True,
    recognises=_recognises,
    reader=_reader,
)
