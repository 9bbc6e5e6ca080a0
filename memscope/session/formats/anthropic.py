"""Conversations in the shape of Anthropic's Messages API: `{"system", "messages", "tools"}`, or the messages alone.

A saved response may be the last of the messages, or stand beside them in `response`, or a file may hold one `request`
and its `response`. Messages in OpenAI's shape among them are read as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memscope.session.apis import anthropic_messages, openai_chat
from memscope.session.apis.base import Message
from memscope.session.apis.parts import as_dict, as_list
from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import checked_content, checked_messages
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session

__all__ = ["FORMAT", "read_anthropic"]

_OPENAI_FIELDS = {"tool_calls", "function_call", "reasoning_content", "reasoning"}
"""Fields that only messages in OpenAI's shape have."""
_BLOCKS = {"tool_use", "tool_result", "redacted_thinking", "server_tool_use"}
"""Blocks that only this API has."""


def read_anthropic(document: Any, name: str, new_detector: NewDetector) -> Session:
    """Convert a decoded document.

    Args:
        document: A request's body, a request and its response, or a list of messages.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.

    Raises:
        SessionError: A message is invalid; the error names it and the field.
    """
    body, response = _exchange(document)
    given = checked_messages(body.get("messages"), name)
    transcript = Transcript(name, FORMAT.name, new_detector)
    system = checked_content(body.get("system"), name, "system")
    _add(transcript, anthropic_messages.request({"system": system, "messages": []}, name).messages, name)
    for number, message in enumerate([*given, *response]):
        where = f"{name}: message {number}"
        model = message.get("model") if isinstance(message, dict) else None
        _add(transcript, _messages(message, where), where, model)
    tools, hosted = anthropic_messages.tool_definitions(as_list(body.get("tools")))
    transcript.note_hosted(hosted)
    return transcript.session(
        title=_text(body.get("title")),
        models=[] if transcript.models else [body.get("model")],
        tools=[chat_tool(tool) for tool in tools],
    )


def _exchange(document: Any) -> tuple[Mapping[str, Any], list[Any]]:
    """Return a request's body and the response that is saved apart from it, if there is one."""
    match document:
        case list():
            return {"messages": document}, []
        case {"request": dict(body), "response": dict(response)}:
            return body, [response]
        case {"response": dict(response)}:
            return document, [response]
    return as_dict(document), []


def _add(transcript: Transcript, messages: Iterable[Message], where: str, model: Any = None) -> None:
    for message in messages:
        transcript.add(message, where, model=model)


def _messages(message: Any, where: str) -> Sequence[Message]:
    given = as_dict(message)
    checked_content(given.get("content"), where)
    if given.get("role") in ("tool", "function") or not _OPENAI_FIELDS.isdisjoint(given):
        return [openai_chat.message(message, where)]
    return anthropic_messages.messages(message, where)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _recognises(head: FileHead) -> bool:
    match head.value:
        case {"request": dict(body), "response": {"type": "message", "role": "assistant"}} if "messages" in body:
            return True
        case {"messages": list(messages), **rest}:
            if "core_memory" in rest or _is_typed(messages):
                return False
            return "system" in rest or "anthropic_version" in rest or _is_anthropic(messages, rest.get("tools"))
        case [{"role": _}, *_] as messages:
            return _is_anthropic(messages, None)
    return False


def _is_typed(messages: Sequence[Any]) -> bool:
    """Return whether messages have a type in place of a role, as those of other frameworks do."""
    first = as_dict(messages[0]) if messages else {}
    return "type" in first and "role" not in first


def _is_anthropic(messages: Sequence[Any], tools: Any) -> bool:
    return any("input_schema" in as_dict(tool) for tool in as_list(tools)) or any(
        _is_anthropic_block(as_dict(block))
        for message in map(as_dict, messages)
        if "role" in message
        for block in as_list(message.get("content"))
    )


def _is_anthropic_block(block: Mapping[str, Any]) -> bool:
    match block:
        case {"type": "thinking", "thinking": str(), "signature": str()} | {"type": "image", "source": dict()}:
            return True
    return isinstance(kind := block.get("type"), str) and kind in _BLOCKS


FORMAT = document_format(
    name="anthropic",
    expected="Anthropic messages",
    recognises=_recognises,
    read=read_anthropic,
)
