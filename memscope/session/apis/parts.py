"""Make the parts of canonical messages, and read the values that they are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from memscope.session.apis.base import Part
from memscope.session.limits import ARGUMENTS_DEPTH, nests_deeper

__all__ = [
    "as_dict",
    "as_index",
    "as_list",
    "as_text",
    "marked_key",
    "opaque",
    "parsed_arguments",
    "text",
    "thinking",
    "tool_call",
    "tool_result",
]

_CHANGING = ("cache_control", "memory", "id", "status")
"""Fields that an opaque block may gain or lose between the response it came in and the requests that repeat it."""


def text(value: str, key: str | None = None) -> Part:
    """Return a text, marked as a memory if there is a key."""
    return _marked({"type": "text", "text": value}, key)


def thinking(value: str) -> Part:
    """Return a model's reasoning."""
    return {"type": "thinking", "text": value}


def tool_call(call_id: Any, name: Any, arguments: Any) -> Part:
    """Return a call of a tool; arguments given as JSON text are decoded."""
    named = {"type": "tool_call", "id": as_text(call_id), "name": as_text(name) or "unnamed"}
    return {**named, "arguments": parsed_arguments(arguments)}


def tool_result(call_id: Any, value: str, key: str | None = None) -> Part:
    """Return what a tool returned, or a piece of it, marked as a memory if there is a key."""
    return _marked({"type": "tool_result", "id": as_text(call_id), "text": value}, key)


def opaque(block: Mapping[str, Any], kind: str | None = None) -> Part:
    """Return the part for a block that is not text; its `bytes` are its length as JSON.

    Args:
        block: The block.
        kind: What it is; by default its type.
    """
    payload = {name: value for name, value in block.items() if name not in _CHANGING}
    written = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    size = len(written.encode("utf-8", "replace"))
    return {"type": "opaque", "kind": kind or as_text(block.get("type")) or "unknown", "bytes": size}


def marked_key(value: Any) -> str | None:
    """Return the key of the memory mark on a message or a block; None if it has none."""
    mark = value.get("memory") if isinstance(value, dict) else None
    key = mark.get("key") if isinstance(mark, dict) else None
    return key if isinstance(key, str) and key else None


def parsed_arguments(arguments: Any) -> Any:
    """Return arguments as a JSON value; a text that is not JSON, or nested too deeply, stays a text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        value = json.loads(arguments, parse_constant=_reject)
        json.dumps(value, allow_nan=False)  # a number such as 1e999 becomes infinite
    except (ValueError, RecursionError):
        return arguments
    return arguments if nests_deeper(value, ARGUMENTS_DEPTH) else value


def as_text(value: Any) -> str:
    """Return a value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def as_index(value: Any) -> int | None:
    """Return a value if it is a number of a part, else None."""
    return value if type(value) is int and value >= 0 else None


def as_dict(value: Any) -> dict[str, Any]:
    """Return a value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _marked(part: Part, key: str | None) -> Part:
    return part if key is None else {**part, "memory": {"key": key}}


def _reject(constant: str) -> NoReturn:
    raise ValueError(constant)
