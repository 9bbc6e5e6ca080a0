"""The native session format: JSON Lines, a header first, then one node a line, append-only.

Reading checks everything and says file, line and field of the first thing that is wrong. Fields that memscope does not
know are kept in `extra` and written back, behind those it knows; a section is written where it is not `conversation`.
A last line without a newline is an append in progress: `NativeReader` keeps it for later, `read_native` reports it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.json_text import parse_json
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

__all__ = [
    "LINE_LIMIT",
    "NODE_TYPES",
    "VERSION",
    "NativeReader",
    "is_timestamp",
    "node_line",
    "read_native",
    "write_native",
]

VERSION = 1
LINE_LIMIT = 32 * 2**20
"""Bytes a line may have; longer ones are refused before they are parsed."""

_TIMESTAMP = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_TEXT_LEAVES: Mapping[str, type[Content | Thinking | ToolResult | Log]] = {
    "content": Content,
    "thinking": Thinking,
    "tool_result": ToolResult,
    "log": Log,
}
_NAMES: Mapping[type, str] = {kind: name for name, kind in _TEXT_LEAVES.items()}
_SHOWN_CHARACTERS = 60
_HEADER_FIELDS = {"type", "version", "id", "title", "model"}


def is_timestamp(text: str) -> bool:
    """Whether a text is an RFC 3339 time."""
    if _TIMESTAMP.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


class _Fields:
    """The fields of one JSON object, taken one by one; what is left over is `extra`."""

    def __init__(self, value: Any, where: str, path: str = "") -> None:
        self._where, self._path = where, path
        if not isinstance(value, dict):
            raise self.wrong(None, "a JSON object", value)
        self._left = dict(value)

    def take(self, name: str, kind: type, expected: str, default: Any = ...) -> Any:
        """Take a field of one type; absent or null gives the default, if there is one."""
        value = self._left.pop(name, None)
        if value is None and default is not ...:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(name, expected, value)
        return value

    def text(self, name: str, *, empty: bool = True) -> str:
        """Take a string."""
        value: str = self.take(name, str, "a string" if empty else "a non-empty string")
        if not value and not empty:
            raise self.wrong(name, "a non-empty string", value)
        return value

    def pop(self, name: str) -> Any:
        """Take a field of any type; None when it is absent."""
        return self._left.pop(name, None)

    @property
    def extra(self) -> dict[str, Any]:
        """What nobody took."""
        return self._left

    def child(self, name: str, index: int, value: Any) -> _Fields:
        """Return the fields of an object inside a list field."""
        return _Fields(value, self._where, f"{self._path}{name}[{index}].")

    def wrong(self, name: str | None, expected: str, value: Any) -> SessionError:
        """Make the one line that says what is wrong."""
        field = f"{self._path}{name}" if name else self._path.rstrip(".")
        got = "nothing" if value is None else _shown(value)
        return SessionError(
            f"{self._where}: " + (f"field {field!r}: " if field else "") + f"expected {expected}, got {got}"
        )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8", "replace")
    shown = repr(text) if isinstance(value, str) else text
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 1] + "…"


def _text_leaf(kind: type[Content | Thinking | ToolResult | Log]) -> Callable[[_Fields, Section], Leaf]:
    return lambda fields, section: kind(text=fields.text("text"), section=section, extra=fields.extra)


def _memory(fields: _Fields, section: Section) -> Leaf:
    key, text = fields.text("key", empty=False), fields.text("text")
    return Memory(key=key, text=text, section=section, extra=fields.extra)


def _tool_call(fields: _Fields, section: Section) -> Leaf:
    name, arguments = fields.text("name", empty=False), fields.pop("arguments")
    return ToolCall(name=name, arguments=arguments, section=section, extra=fields.extra)


_LEAVES: Mapping[str, Callable[[_Fields, Section], Leaf]] = {
    **{name: _text_leaf(kind) for name, kind in _TEXT_LEAVES.items()},
    "memory": _memory,
    "tool_call": _tool_call,
}
NODE_TYPES = ("branch", *_LEAVES)
"""What the field `type` of a node may say."""


def _node(fields: _Fields) -> Node:
    kind = fields.text("type", empty=False)
    section: Section = fields.take("section", str, f"one of {', '.join(SECTIONS)}", "conversation")
    if section not in SECTIONS:
        raise fields.wrong("section", f"one of {', '.join(SECTIONS)}", section)
    if kind == "branch":
        return _branch(fields, section)
    if kind == "session":
        raise fields.wrong("type", "a node: a session has one header, on its first line", kind)
    if kind not in _LEAVES:
        raise fields.wrong("type", f"one of {', '.join(NODE_TYPES)}", kind)
    return _LEAVES[kind](fields, section)


def _branch(fields: _Fields, section: Section) -> Branch:
    role = fields.text("role", empty=False)
    stamp = fields.take("timestamp", str, "an RFC 3339 time", None)
    if stamp is not None and not is_timestamp(stamp):
        raise fields.wrong("timestamp", "an RFC 3339 time such as 2026-11-20T10:00:00Z", stamp)
    children = fields.take("children", list, "a list of leaves", [])
    leaves = tuple(_child(fields.child("children", n, value), section) for n, value in enumerate(children))
    return Branch(role=role, children=leaves, timestamp=stamp, section=section, extra=fields.extra)


def _child(fields: _Fields, section: Section) -> Leaf:
    kind = fields.text("type", empty=False)
    if kind == "branch":
        raise fields.wrong("type", "a leaf: a branch cannot hold a branch", kind)
    if kind not in _LEAVES:
        raise fields.wrong("type", f"one of {', '.join(_LEAVES)}", kind)
    if (own := fields.pop("section")) is not None:
        raise fields.wrong("section", "no section: a child stands where its branch stands", own)
    return _LEAVES[kind](fields, section)


def _header(fields: _Fields) -> Header:
    kind = fields.text("type", empty=False)
    if kind != "session":
        raise fields.wrong("type", "a header of type session on the first line", kind)
    version = fields.take("version", int, f"version {VERSION}")
    if version != VERSION:
        raise fields.wrong("version", f"version {VERSION}, the one this memscope reads", version)
    name = fields.text("id", empty=False)
    title = fields.take("title", str, "a string", "")
    model = fields.take("model", str, "a string", "")
    return Header(id=name, title=title, model=model, extra=fields.extra)


class NativeReader:
    """Reads a session file piece by piece, as an agent appends to it.

    Attributes:
        name: The file as the user named it.
        header: The session's header, once its line was complete.
        nodes: The nodes of all complete lines.
        pending: The bytes after the last newline: an append in progress.
        offset: How many bytes of the file stand before `pending`.
    """

    def __init__(self, name: str) -> None:
        """Begin before the first byte."""
        self.name = name
        self.header: Header | None = None
        self.nodes: list[Node] = []
        self.pending = b""
        self.offset = 0
        self._line = 0

    def feed(self, data: bytes) -> int:
        """Take more bytes of the file and return how many nodes they completed.

        Raises:
            SessionError: A complete line is wrong, or a line grows past `LINE_LIMIT`.
        """
        before = len(self.nodes)
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self._take(line)
            self.offset += len(line) + 1
        self._check_length(self.pending, self._line + 1)
        return len(self.nodes) - before

    def session(self) -> Session:
        """Return what was read so far.

        Raises:
            SessionError: There is no header yet.
        """
        if self.header is None:
            raise SessionError(f"{self.name}:1: expected a header of type session on the first line, got nothing")
        return Session(header=self.header, nodes=tuple(self.nodes), source=Source(path=self.name, format="native"))

    def _take(self, line: bytes) -> None:
        self._line += 1
        where = f"{self.name}:{self._line}"
        self._check_length(line, self._line)
        if self._line == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            raise SessionError(f"{where}: expected a JSON object, got an empty line")
        fields = _Fields(parse_json(line, self.name, self._line), where)
        if self.header is None:
            self.header = _header(fields)
        else:
            self.nodes.append(_node(fields))

    def _check_length(self, line: bytes, number: int) -> None:
        if len(line) > LINE_LIMIT:
            raise SessionError(
                f"{self.name}:{number}: the line is longer than {LINE_LIMIT // 2**20} MiB; "
                "a session has one node a line"
            )


def read_native(data: bytes, name: str) -> Session:
    """Read a whole file.

    Raises:
        SessionError: Something is wrong; the line names file, line and field.
    """
    reader = NativeReader(name)
    reader.feed(data)
    if reader.pending.strip():
        number = data.count(b"\n") + 1
        raise SessionError(f"{name}:{number}: the last line has no newline: it is still being written, or was cut off")
    return reader.session()


def write_native(session: Session) -> bytes:
    """Return a session as a file's bytes; reading them gives the same header and nodes.

    Raises:
        SessionError: A text holds half of a surrogate pair, or a value is nested too deeply to be written.
    """
    header = session.header
    first = {"type": "session", "version": VERSION, "id": header.id}
    first |= {name: value for name, value in (("title", header.title), ("model", header.model)) if value}
    return b"".join(_lines([_with_extra(first, header.extra, _HEADER_FIELDS), *map(_as_dict, session.nodes)]))


def node_line(node: Node) -> bytes:
    """Return one node as a line to append, newline included.

    Raises:
        SessionError: As `write_native`.
    """
    return b"".join(_lines([_as_dict(node)]))


def _lines(objects: Iterable[Mapping[str, Any]]) -> Iterable[bytes]:
    for value in objects:
        try:
            yield msgspec.json.encode(value) + b"\n"
        except (UnicodeEncodeError, RecursionError) as error:
            raise SessionError(f"a {value['type']} cannot be written as JSON: {error}") from error


def _as_dict(node: Node) -> dict[str, Any]:
    fields = _own(node)
    if node.section != "conversation":
        fields = {"type": fields.pop("type"), "section": node.section, **fields}
    return _with_extra(fields, node.extra, _fields_of(node))


def _with_extra(fields: dict[str, Any], extra: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Add what memscope does not know; a name that the format gives a meaning is never written from there."""
    return {**fields, **{name: value for name, value in extra.items() if name not in known}} if extra else fields


def _fields_of(node: Node) -> Collection[str]:
    return {"type", *type(node).__struct_fields__} - {"extra"}


def _own(node: Node) -> dict[str, Any]:
    match node:
        case Branch():
            fields: dict[str, Any] = {"type": "branch", "role": node.role}
            if node.timestamp is not None:
                fields["timestamp"] = node.timestamp
            return {
                **fields,
                "children": [_with_extra(_own(leaf), leaf.extra, _fields_of(leaf)) for leaf in node.children],
            }
        case Memory():
            return {"type": "memory", "key": node.key, "text": node.text}
        case ToolCall():
            return {"type": "tool_call", "name": node.name, "arguments": node.arguments}
        case _:
            return {"type": _NAMES[type(node)], "text": node.text}
