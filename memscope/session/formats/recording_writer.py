"""Write a session of calls as a recording; see `memscope.session.formats.recording`.

Unknown fields follow the known ones. A message keeps the id that it was read with; others get a hash of their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.limits import RECORDING_VERSION
from memscope.session.nodes import (
    Branch,
    Call,
    Content,
    Leaf,
    Log,
    Memory,
    Node,
    Opaque,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
)

__all__ = ["write_recording"]

_HASH_BYTES = 8
_ROW_FIELDS = {
    "recording": ("type", "version", "id", "title", "model"),
    "message": ("type", "id", "role", "timestamp", "content", "memory"),
    "call": ("type", "id", "timestamp", "api", "model", "prompt", "tools", "response", "status"),
}
"""The fields of each row that have a meaning in the format: an unknown field cannot have one of their names."""
_MARKED_PARTS = ("text", "tool_result")


def write_recording(session: Session) -> bytes:
    """Return a session as a recording; reading it returns the same header, nodes and calls.

    Args:
        session: A session of calls: all its nodes are turns.

    Raises:
        SessionError: A node is not a turn, or has a log, or a value cannot be written as JSON.
    """
    header = session.header
    first = {"type": "recording", "version": RECORDING_VERSION, "id": header.id}
    first |= {name: value for name, value in (("title", header.title), ("model", header.model)) if value}
    rows = [_with_extra(first, header.extra, _ROW_FIELDS["recording"]), *_Rows(session).rows()]
    return b"".join(map(_line, rows))


class _Rows:
    """Makes the rows of one session: each message as it comes, and each call as soon as all it names is there.

    A message that answered a second call exists twice in the session and once in the file: reading the second call
    creates the other node, so that the call has to come before the messages that follow that node.
    """

    def __init__(self, session: Session) -> None:
        self._nodes = session.nodes
        self._calls = list(session.calls)
        self._ids: list[str] = []
        self._written: dict[str, Any] = {}
        self._tools: dict[bytes, str] = {}

    def rows(self) -> Iterator[dict[str, Any]]:
        for position, node in enumerate(self._nodes):
            yield from self._message(node)
            yield from self._ready_calls(position)

    def _message(self, node: Node) -> Iterator[dict[str, Any]]:
        message = _message(node)
        name = self._free_id(node, message)
        self._ids.append(name)
        if name not in self._written:
            self._written[name] = message
            yield {"type": "message", "id": name, **message}

    def _free_id(self, node: Node, message: Mapping[str, Any]) -> str:
        own = node.extra.get("id")
        if isinstance(own, str) and own and self._written.get(own, message) == message:
            return own
        return "m" + _digest(message)

    def _ready_calls(self, position: int) -> Iterator[dict[str, Any]]:
        while self._calls and max((*self._calls[0].prompt, self._calls[0].response or 0)) <= position:
            yield from self._call(self._calls.pop(0))

    def _call(self, call: Call) -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"type": "call", "id": call.id}
        row |= {name: value for name in ("timestamp", "api", "model") if (value := getattr(call, name))}
        row["prompt"] = [self._ids[position] for position in call.prompt]
        if call.tools:
            yield from self._new_tools(call.tools)
            row["tools"] = self._tools[_encoded(call.tools)]
        if call.response is not None:
            yield from self._response(call.response, row)
        yield _with_extra({**row, "status": call.status}, call.extra, _ROW_FIELDS["call"])

    def _response(self, position: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Name the response, by another id if the prompt holds the same message."""
        name = self._ids[position]
        message = self._written[name]
        while name in row["prompt"]:
            name += "'"
        row["response"] = name
        if name not in self._written:
            self._written[name] = message
            yield {"type": "message", "id": name, **message}

    def _new_tools(self, tools: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        key = _encoded(tools)
        if key not in self._tools:
            written = [_function(tool) for tool in tools]
            self._tools[key] = "t" + _digest(written)
            yield {"type": "tools", "id": self._tools[key], "tools": written}


def _message(node: Node) -> dict[str, Any]:
    if not isinstance(node, Branch):
        raise SessionError("a recording holds turns alone: a session with nodes outside of turns cannot be one")
    stamp = {} if node.timestamp is None else {"timestamp": node.timestamp}
    message = {"role": node.role, **stamp, "content": [_part(leaf) for leaf in node.children]}
    return _with_extra(message, node.extra, _ROW_FIELDS["message"])


def _part(leaf: Leaf) -> dict[str, Any]:
    part = _own(leaf)
    return _with_extra(part, leaf.extra, {*part, "memory"} if part["type"] in _MARKED_PARTS else part)


def _own(leaf: Leaf) -> dict[str, Any]:
    match leaf:
        case Content(token_ids=ids) if ids:
            return {"type": "tokens", "ids": list(ids), "text": leaf.text}
        case Content():
            return {"type": "text", "text": leaf.text}
        case Memory():
            return {"type": "text", "text": leaf.text, "memory": {"key": leaf.key}}
        case Thinking():
            return {"type": "thinking", "text": leaf.text}
        case ToolCall():
            return {"type": "tool_call", "name": leaf.name, "arguments": leaf.arguments}
        case ToolResult():
            return {"type": "tool_result", "text": leaf.text}
        case Opaque():
            return {"type": "opaque", "kind": leaf.kind, "bytes": leaf.size}
        case Log():
            raise SessionError("a recording holds what was sent: a session with a log cannot be one")


def _function(tool: Mapping[str, Any]) -> Any:
    match tool:
        case {"type": "function", "function": {**function}} if len(tool) == 2 and "type" not in function:
            return function
    return tool


def _with_extra(fields: dict[str, Any], extra: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    return {**fields, **{name: value for name, value in extra.items() if name not in known}} if extra else fields


def _digest(value: Any) -> str:
    return hashlib.blake2b(_encoded(value), digest_size=_HASH_BYTES).hexdigest()


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, order="deterministic")
    except (UnicodeEncodeError, RecursionError) as error:
        raise SessionError(f"a message cannot be written as JSON: {error}") from error


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row) + b"\n"
    except (UnicodeEncodeError, RecursionError) as error:
        raise SessionError(f"a {row['type']} cannot be written as JSON: {error}") from error
