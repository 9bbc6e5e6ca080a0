"""Convert the messages of Letta agent files to canonical messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import marked_key, opaque, text, thinking, tool_call, tool_result
from memscope.session.formats.fields import Fields, field_error
from memscope.session.timestamps import as_timestamp

__all__ = ["letta_message"]

_ROLES: Mapping[str, str] = {"function": "tool", "approval": "assistant", "summary": "user"}
"""Canonical roles of the roles that have another one."""


def letta_message(value: Any, where: str) -> Part | None:
    """Return the canonical message; None for one without content, such as an answer to a request for approval.

    Args:
        value: The message.
        where: File and place, for errors.

    Raises:
        SessionError: It is invalid; the error names the field.
    """
    fields = Fields(value, where)
    role = fields.text("role", empty=False)
    role = _ROLES.get(role, role)
    parts = list(_results(fields, value) if role == "tool" else _parts(fields, value, where))
    if not parts:
        return None
    stamp = as_timestamp(value.get("created_at"))
    return {"role": role, "content": parts} | ({"timestamp": stamp} if stamp else {})


def _parts(fields: Fields, value: Mapping[str, Any], where: str) -> Iterator[Part]:
    yield from _content(fields, value)
    calls = fields.take("tool_calls", list, "a list of calls", [])
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise field_error(where, f"tool_calls[{number}].function.name", "a non-empty string", name)
        yield tool_call(call.get("id"), name, function.get("arguments"))


def _content(fields: Fields, value: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of a message's content; the oldest files have a plain `text` in its place."""
    content = value.get("content", value.get("text"))
    if content is None or content == "":
        return
    if isinstance(content, str):
        yield text(content)
        return
    if not isinstance(content, list):
        raise fields.error("content", "a string or a list of parts", content)
    for number, part in enumerate(content):
        yield _part(fields.child("content", number, part), part)


def _part(fields: Fields, part: Mapping[str, Any]) -> Part:
    match part:
        case {"type": "text"}:
            return text(fields.text("text"), marked_key(part))
        case {"type": "reasoning", "reasoning": str(thought)}:
            return thinking(thought)
        case {"type": "tool_call", "name": str(name)} if name:
            return tool_call(part.get("id"), name, part.get("input"))
        case {"type": "tool_return", "content": str(said)}:
            return tool_result(part.get("tool_call_id"), said)
    return opaque(part)


def _results(fields: Fields, value: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the results in a tool's message: those of parallel calls each by itself, else its content."""
    returns = value.get("tool_returns")
    several = [one for one in returns if isinstance(one, dict)] if isinstance(returns, list) else []
    said = "".join(part["text"] for part in _content(fields, value) if part["type"] == "text")
    if said and len(several) < 2:
        yield tool_result(value.get("tool_call_id"), said)
        return
    for one in several:
        if isinstance(result := one.get("func_response"), str):
            yield tool_result(one.get("tool_call_id"), result)
