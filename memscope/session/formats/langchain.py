"""LangChain and LangGraph: lists of messages, states with `messages`, prompt values and traced runs.

A message is `{"type": "human", "data": {…}}`, a serialised constructor `{"lc": 1, "id": […, "HumanMessage"], "kwargs":
{…}}`, or the plain fields `{"type": "human", "content": …}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import as_text, marked_key, opaque, text, thinking, tool_call, tool_result
from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import Fields, field_error
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session
from memscope.session.timestamps import as_timestamp

__all__ = ["FORMAT", "LangChainMessages", "is_langchain_message", "read_langchain"]

_ROLES: Mapping[str, str] = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "chat": "",
}
"""Roles by message type; a chat message has a role of its own."""
_TYPES = {*_ROLES, "remove"}
_HOLDERS = ("messages", "values", "channel_values", "kwargs", "inputs", "input")
"""The fields that lead to a list of messages, in the order in which they are tried."""


class LangChainMessages:
    """Converts messages one by one and builds their session."""

    def __init__(self, name: str, format_name: str, new_detector: NewDetector) -> None:
        """Create an empty conversation; see `Transcript`."""
        self._transcript = Transcript(name, format_name, new_detector)

    def take(self, message: Any, where: str) -> None:
        """Add the next message.

        Raises:
            SessionError: It is not a message; the error names the field.
        """
        kind, value = _typed(message, where)
        if kind in _ROLES:
            self._transcript.add(_canonical(kind, value, where), where, model=_model(value))
        else:
            self._transcript.builder.skip(f"{kind} message")

    def session(self) -> Session:
        """Return the session of the messages added so far."""
        whole = self._transcript.has_system_message
        if not whole:
            self._transcript.builder.note("no system message in the file: an agent may add one on each call")
        return self._transcript.session(whole=whole)


def read_langchain(document: Any, name: str, new_detector: NewDetector) -> Session:
    """Convert a decoded document.

    Args:
        document: A list of messages, or an object that holds one.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.

    Raises:
        SessionError: A message is invalid; the error names the message and the field.
    """
    conversation = LangChainMessages(name, FORMAT.name, new_detector)
    for number, message in enumerate([*_messages(document), *_generations(document)]):
        conversation.take(message, f"{name}: message {number}")
    return conversation.session()


def is_langchain_message(value: Any) -> bool:
    """Return whether a JSON value is a message in one of the three forms."""
    match value:
        case {"lc": int(), "id": list() as path}:
            return bool(path) and str(path[-1]).endswith(("Message", "MessageChunk"))
        case {"type": str(kind), "data": dict()} | {"type": str(kind), "content": str() | list()}:
            return _type(kind) in _TYPES and "role" not in value
    return False


def _messages(document: Any, depth: int = 0) -> list[Any]:
    """Return the list of messages in a document; the only list of a batch of one."""
    if isinstance(document, list):
        return _messages(document[0], depth) if len(document) == 1 and isinstance(document[0], list) else document
    if isinstance(document, dict) and depth < len(_HOLDERS):
        for field in _HOLDERS:
            if found := _messages(document.get(field), depth + 1):
                return found
    return []


def _generations(document: Any) -> Iterator[Any]:
    """Yield the answer of a traced run, which stands apart from its input."""
    match document:
        case {"outputs": {"generations": [[{"message": message}, *_], *_]}}:
            yield message
        case {"outputs": {"message": message}} | {"outputs": {"output": message}} if is_langchain_message(message):
            yield message


def _typed(message: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    """Return the type of a message and its fields."""
    match message:
        case {"lc": int(), "id": [*_, str(name)], "kwargs": dict(value)}:
            return _type(name), value
        case {"lc": int()}:
            return str(message.get("type")), {}
        case {"type": str(kind), "data": dict(value)}:
            return _type(kind), value
        case {"type": str(kind)}:
            return _type(kind), message
        case dict():
            raise field_error(where, "type", "the type of a LangChain message", message.get("type"))
    raise field_error(where, "", "a LangChain message", message)


def _type(name: str) -> str:
    """Return the type that a name stands for: "ai" for "ai", "AIMessage" and "AIMessageChunk"."""
    return name.removesuffix("Chunk").removesuffix("Message").lower()


def _canonical(kind: str, value: Mapping[str, Any], where: str) -> Part:
    fields = Fields(value, where)
    role = _ROLES[kind] or fields.text("role", empty=False)
    if kind == "system" and _extra(value).get("__openai_role__") == "developer":
        role = "developer"
    parts = [*_reasoning(value), *_content(fields, value), *_calls(value, where)]
    if role == "tool":
        parts = _result(value, parts)
    return {"role": role, "content": parts} | {
        field: found
        for field, found in {
            "memory": value.get("memory"),
            "name": value.get("name"),
            "timestamp": as_timestamp(value.get("timestamp")),
        }.items()
        if found is not None
    }


def _content(fields: Fields, value: Mapping[str, Any]) -> Iterator[Part]:
    content = fields.pop("content")
    if isinstance(content, str) or (content is None and _all_calls(value)):
        if content:
            yield text(content)
        return
    if not isinstance(content, list):
        raise fields.error("content", "a string or a list of blocks", content)
    repeated = {as_text(call.get("id")) for call in _all_calls(value) if isinstance(call, dict)}
    for number, block in enumerate(content):
        if isinstance(block, str):
            yield text(block)
        else:
            yield from _block(fields.child("content", number, block), block, repeated)


def _block(fields: Fields, block: Mapping[str, Any], repeated: set[str]) -> Iterator[Part]:
    """Yield the part of a block; none for one that repeats a call which is among the message's `tool_calls`."""
    match block:
        case {"type": "text" | "output_text" | "input_text"}:
            yield text(fields.text("text"), marked_key(block))
        case {"type": "thinking", "thinking": str(thought)} | {"type": "reasoning", "reasoning": str(thought)}:
            yield thinking(thought)
        case {"type": "reasoning_content", "reasoning_content": {"text": str(thought)}}:
            yield thinking(thought)
        case {"type": "input_json_delta"} if repeated:
            return
        case {"type": "tool_use" | "tool_call" | "function_call", "name": str(name)} if name:
            called = as_text(block.get("call_id", block.get("id")))
            if called not in repeated:
                yield tool_call(called, name, block.get("input", block.get("args", block.get("arguments"))))
        case _:
            yield opaque(block)


def _reasoning(value: Mapping[str, Any]) -> Iterator[Part]:
    thought = _extra(value).get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield thinking(thought)


def _extra(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found = value.get("additional_kwargs")
    return found if isinstance(found, dict) else {}


def _all_calls(value: Mapping[str, Any]) -> list[Any]:
    """Return the calls of a message, also those whose arguments are not JSON, or else those as the API sent them."""
    for holder, fields in ((value, ("tool_calls", "invalid_tool_calls")), (_extra(value), ("tool_calls",))):
        calls = [call for field in fields if isinstance(found := holder.get(field), list) for call in found]
        if calls:
            return calls
    return []


def _calls(value: Mapping[str, Any], where: str) -> Iterator[Part]:
    for number, call in enumerate(_all_calls(value)):
        fields = Fields(call, where, f"tool_calls[{number}].")
        function = call.get("function") if isinstance(call.get("function"), dict) else call
        name = function.get("name")
        if not isinstance(name, str) or not name:
            raise fields.error("name", "a non-empty string", name)
        yield tool_call(call.get("id"), name, function.get("args", function.get("arguments")))


def _result(value: Mapping[str, Any], parts: list[Part]) -> list[Part]:
    """Return the parts of a tool's message with its text as the result of the call it answers."""
    said = "".join(part["text"] for part in parts if part["type"] == "text")
    return [tool_result(value.get("tool_call_id"), said), *(part for part in parts if part["type"] != "text")]


def _model(value: Mapping[str, Any]) -> str:
    about = value.get("response_metadata")
    found = [about.get(field) for field in ("model_name", "model", "model_id")] if isinstance(about, dict) else []
    return next((name for name in found if isinstance(name, str)), "")


def _recognises(head: FileHead) -> bool:
    found = _messages(head.value)
    return bool(found) and is_langchain_message(found[0])


FORMAT = document_format(
    name="langchain",
    expected="LangChain messages",
    recognises=_recognises,
    read=read_langchain,
)
