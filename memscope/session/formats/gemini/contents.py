"""Contents of the Gemini API, as in its requests and in Gemini CLI's checkpoints: `{"role", "parts"}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from memscope.session.apis.base import Message, Part
from memscope.session.apis.parts import marked_key, opaque, text, thinking, tool_call, tool_result
from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import Fields, field_error
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session

__all__ = ["FORMAT", "content_parts", "read_contents", "turn_messages"]

_ROLES: Mapping[str, str] = {"user": "user", "model": "assistant", "function": "user", "system": "system"}
_SYSTEM = ("systemInstruction", "system_instruction")
_HOLDERS = ("contents", "history")


def read_contents(document: Any, name: str, new_detector: NewDetector) -> Session:
    """Convert a decoded document.

    Args:
        document: A list of contents; a request with `contents` and `systemInstruction`; or a checkpoint with `history`.
            A response with `candidates` may stand in the same object, or at the end of the list.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.

    Raises:
        SessionError: A content is invalid; the error names the content and the field.
    """
    holder: Mapping[str, Any] = document if isinstance(document, dict) else {}
    transcript = Transcript(name, FORMAT.name, new_detector)
    if system := next((holder[field] for field in _SYSTEM if holder.get(field)), None):
        where = f"{name}: {_SYSTEM[0]}"
        transcript.add({"role": "system", "content": _instruction(system, where)}, where)
    for number, content in enumerate([*_contents(document, name), *_answer(holder)]):
        where = f"{name}: content {number}"
        for message in _messages(content, where):
            transcript.add(message, where)
    if not transcript.has_system_message:
        transcript.builder.note("the system prompt is not in the file")
    return transcript.session(
        models=[holder.get("modelVersion") or holder.get("model")],
        whole=transcript.has_system_message,
        tools=list(_tools(holder)),
    )


def content_parts(value: Any, where: str, field: str = "content") -> Iterator[Part]:
    """Yield the canonical parts of a content: a string, one part, or a list of both.

    Args:
        value: The content.
        where: File and place, for errors.
        field: Path of the field that holds it.

    Raises:
        SessionError: It is none of these.
    """
    if value is None or value == "":
        return
    for number, part in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(part, str):
            yield text(part)
        elif isinstance(part, dict):
            yield _part(part, where, f"{field}[{number}]")
        else:
            raise field_error(where, f"{field}[{number}]", "a string or a part", part)


def turn_messages(role: str, parts: Iterable[Part]) -> list[Message]:
    """Return a turn as messages: one of role `tool` for each stretch of tool results, and one for each of the rest.

    Args:
        role: The role of the turn.
        parts: Its parts.
    """
    return [
        {"role": "tool" if results else role, "content": list(stretch)}
        for results, stretch in groupby(parts, lambda part: part["type"] == "tool_result")
    ]


def _part(part: Mapping[str, Any], where: str, field: str) -> Part:
    match part:
        case {"text": str(said), "thought": True}:
            return thinking(said)
        case {"text": str(said)}:
            return text(said, marked_key(part))
        case {"functionCall": {"name": str(name)} as call} if name:
            return tool_call(call.get("id"), name, call.get("args"))
        case {"functionCall": called}:
            raise field_error(where, f"{field}.functionCall.name", "a non-empty string", _name(called))
        case {"functionResponse": {"response": response} as answer}:
            return tool_result(answer.get("id", answer.get("name")), _said(response))
    kind = next((key for key, value in part.items() if isinstance(value, dict)), "unknown")
    return opaque(part, kind)


def _name(called: Any) -> Any:
    return called.get("name") if isinstance(called, dict) else called


def _said(response: Any) -> str:
    """Return the text of a tool's result: its only text if it has one, else its JSON."""
    match response:
        case str():
            return response
        case {"output": str(said), **rest} | {"error": str(said), **rest} if not rest:
            return said
    return msgspec.json.encode(response).decode()


def _contents(document: Any, name: str) -> list[Any]:
    if isinstance(document, list):
        return document
    field = next((field for field in _HOLDERS if field in document), _HOLDERS[0])
    contents = document.get(field)
    if not isinstance(contents, list):
        raise field_error(name, field, "a list of contents", contents)
    return contents


def _answer(holder: Mapping[str, Any]) -> Iterator[Any]:
    match holder:
        case {"candidates": [{"content": answer}, *_]} | {"response": {"candidates": [{"content": answer}, *_]}}:
            yield answer


def _messages(content: Any, where: str) -> list[Message]:
    match content:
        case {"candidates": [{"content": answer}, *_]}:
            content = answer
    fields = Fields(content, where)
    role = fields.take("role", str, "a string", "user")
    parts = fields.take("parts", list, "a list of parts", [])
    return turn_messages(_ROLES.get(role, role), content_parts(parts, where, "parts"))


def _instruction(system: Any, where: str) -> list[Part]:
    parts = system.get("parts") if isinstance(system, dict) and "parts" in system else system
    return list(content_parts(parts, where, "parts"))


def _tools(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    tools = holder.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        match tool:
            case {"functionDeclarations": list(declared)} | {"function_declarations": list(declared)}:
                yield from (chat_tool(one) for one in declared if isinstance(one, dict))


def _recognises(head: FileHead) -> bool:
    match head.value:
        case [{"parts": list()}, *_] | {"contents": list() | None}:
            return True
        case {"history": [] | [{"parts": list()}, *_]}:
            return True
    return False


FORMAT = document_format(
    name="gemini-contents",
    expected="Gemini contents",
    recognises=_recognises,
    read=read_contents,
)
