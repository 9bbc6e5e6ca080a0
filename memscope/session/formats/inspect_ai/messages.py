"""Convert the chat messages of inspect_ai logs to canonical messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import marked_key, opaque, text, thinking, tool_call, tool_result
from memscope.session.formats.fields import Fields, field_error

__all__ = ["Attachments", "inspect_message"]

_PROTOCOL = "attachment://"

Attachments = Mapping[str, Any]
"""Long texts of a sample by the name that messages refer to them by."""


def inspect_message(value: Any, attachments: Attachments, where: str) -> Part:
    """Return the canonical message.

    Args:
        value: The message.
        attachments: The sample's attachments.
        where: File and place, for errors.

    Raises:
        SessionError: It is invalid; the error names the field.
    """
    fields = Fields(value, where)
    role = fields.text("role", empty=False)
    parts = [*_content(fields, value, attachments), *_calls(value, attachments, where)]
    if role == "tool":
        said = "".join(part["text"] for part in parts if part["type"] == "text") or _error(value)
        parts = [
            tool_result(value.get("tool_call_id"), said),
            *(part for part in parts if part["type"] != "text"),
        ]
    return {"role": role, "content": parts}


def _content(fields: Fields, value: Mapping[str, Any], attachments: Attachments) -> Iterator[Part]:
    content = fields.pop("content")
    if isinstance(content, str):
        if content:
            yield _text(content, attachments)
        return
    if content is None and "tool_calls" in value:
        return
    if not isinstance(content, list):
        raise fields.error("content", "a string or a list of parts", content)
    for number, part in enumerate(content):
        if isinstance(part, str):
            yield _text(part, attachments)
        else:
            yield _part(fields.child("content", number, part), part, attachments)


def _part(fields: Fields, part: Mapping[str, Any], attachments: Attachments) -> Part:
    match part:
        case {"type": "text"}:
            return _text(fields.text("text"), attachments, marked_key(part))
        case {"type": "reasoning", "reasoning": str(thought)} if thought and not part.get("redacted"):
            found = _text(thought, attachments)
            return thinking(found["text"]) if found["type"] == "text" else found
    return opaque(part)


def _text(value: str, attachments: Attachments, key: str | None = None) -> Part:
    """Return a text, or the attachment it refers to; one that is not in the file is opaque."""
    if not value.startswith(_PROTOCOL):
        return text(value, key)
    found = attachments.get(value.removeprefix(_PROTOCOL))
    return text(found, key) if isinstance(found, str) else opaque({}, "missing attachment")


def _calls(value: Mapping[str, Any], attachments: Attachments, where: str) -> Iterator[Part]:
    calls = value.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise field_error(where, "tool_calls", "a list of calls", calls)
    for number, call in enumerate(calls or []):
        name = call.get("function") if isinstance(call, dict) else None
        if not isinstance(name, str) or not name:
            raise field_error(where, f"tool_calls[{number}].function", "a non-empty string", name)
        yield tool_call(call.get("id"), name, _resolved(call.get("arguments"), attachments))


def _resolved(value: Any, attachments: Attachments) -> Any:
    """Return the arguments of a call with the attachments they refer to."""
    match value:
        case str() if value.startswith(_PROTOCOL):
            return attachments.get(value.removeprefix(_PROTOCOL), value)
        case dict():
            return {key: _resolved(inner, attachments) for key, inner in value.items()}
        case list():
            return [_resolved(inner, attachments) for inner in value]
    return value


def _error(value: Mapping[str, Any]) -> str:
    """Return the error of a tool that failed, which the model sees in place of a result."""
    match value.get("error"):
        case {"message": str(message)}:
            return message
    return ""
