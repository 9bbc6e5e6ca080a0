"""Write sessions in the native format.

Unknown fields follow the known ones; `section` is written unless it is `conversation`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.formats.native import TEXT_LEAVES, VERSION
from memscope.session.nodes import Branch, Memory, Node, Opaque, Session, ToolCall

__all__ = ["write_native"]

_NAMES: Mapping[type, str] = {kind: name for name, kind in TEXT_LEAVES.items()}
_HEADER_FIELDS = {"type", "version", "id", "title", "model"}


def write_native(session: Session) -> bytes:
    """Return a session as bytes; reading them returns the same header and nodes.

    Raises:
        SessionError: A text has half of a surrogate pair, or a value is nested too deeply to be written.
    """
    header = session.header
    first = {"type": "session", "version": VERSION, "id": header.id}
    first |= {name: value for name, value in (("title", header.title), ("model", header.model)) if value}
    return b"".join(_lines([_with_extra(first, header.extra, _HEADER_FIELDS), *map(_as_dict, session.nodes)]))


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
    """Add unknown fields, except those whose name has a meaning in the format."""
    return {**fields, **{name: value for name, value in extra.items() if name not in known}} if extra else fields


def _fields_of(node: Node) -> Collection[str]:
    return {"type", *type(node).__struct_fields__} - {"extra", "token_ids"}


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
        case Opaque():  # the format has no such type
            return {"type": "log", "text": f"{node.kind}, {node.size} bytes, not scored"}
        case ToolCall():
            return {"type": "tool_call", "name": node.name, "arguments": node.arguments}
        case _:
            return {"type": _NAMES[type(node)], "text": node.text}
