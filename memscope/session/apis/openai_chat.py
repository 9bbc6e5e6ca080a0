"""OpenAI's Chat Completions API, and the fields that compatible servers add to it.

A message's parts are its reasoning, its content, and its tool calls, in this order. Streamed deltas are assembled to
the message that the same response has without streaming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memscope.session.apis import parts
from memscope.session.apis.base import REPLY, CallReply, CallRequest, Message, Part, body_object, status_of, usage_of
from memscope.session.apis.parts import as_dict, as_index, as_list, as_text, marked_key
from memscope.session.formats.fields import checked_messages, field_error

__all__ = ["NAME", "message", "reply", "request", "streamed", "tool_definitions"]

NAME = "openai-chat"

_REASONING = ("reasoning_content", "reasoning", "thinking")
_TEXT_TYPES = ("text", "input_text", "output_text")


def request(body: Mapping[str, Any], where: str) -> CallRequest:
    """Read the body of a request.

    Args:
        body: The decoded body.
        where: The place of the body, for errors.

    Raises:
        SessionError: A message is invalid; the error names the field.
    """
    given = checked_messages(body.get("messages"), where)
    tools, hosted = tool_definitions([*as_list(body.get("tools")), *as_list(body.get("functions"))])
    choices = body.get("n")
    return CallRequest(
        messages=[message(one, where, f"messages[{number}]") for number, one in enumerate(given)],
        tools=tools,
        hosted=hosted,
        model=as_text(body.get("model")),
        choices=choices if type(choices) is int else 1,
    )


def message(value: Any, where: str, path: str = "") -> Message:
    """Return the canonical message of a chat message.

    Args:
        value: The chat message.
        where: The place of the body, for errors.
        path: The field of the message in the body.

    Raises:
        SessionError: The message is invalid; the error names the field.
    """
    given = body_object(value, where, path)
    role = given.get("role")
    if not isinstance(role, str) or not role:
        raise field_error(where, f"{path}.role".lstrip("."), "a non-empty string", role)
    named = {"name": given["name"]} if isinstance(given.get("name"), str) else {}
    if role in ("tool", "function"):
        return {"role": "tool", **named, "content": _results(given, given.get("tool_call_id", given.get("name")))}
    return {"role": role, **named, "content": [*_reasoning(given), *_content(given), *_calls(given)]}


def reply(body: Mapping[str, Any]) -> CallReply:
    """Read the body of a response that was not streamed.

    Args:
        body: The decoded body.
    """
    choice = _first_choice(body)
    given = choice.get("message")
    answer = message({**given, "role": "assistant"}, REPLY, "choices[0].message") if isinstance(given, dict) else None
    return _reply(body, answer, _stop(choice), ended=True)


def streamed(events: Sequence[Mapping[str, Any]]) -> CallReply:
    """Read the events of a streamed response.

    Args:
        events: The decoded data of each event, in order.
    """
    deltas = _Deltas()
    head: dict[str, Any] = {}
    stop = ""
    for event in events:
        head |= {name: value for name, value in event.items() if name in ("id", "model", "usage") and value}
        choice = _first_choice(event)
        stop = _stop(choice) or stop
        deltas.add(as_dict(choice.get("delta")))
    return _reply(head, message(deltas.message(), REPLY), stop, ended=bool(stop))


def tool_definitions(tools: Sequence[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the definitions of functions, and the types of the tools that the service defines itself."""
    defined: list[dict[str, Any]] = []
    hosted: list[str] = []
    for tool in map(as_dict, tools):
        kind = as_text(tool.get("type"))
        function = as_dict(tool.get("function") or tool.get("custom") or (tool if kind in ("", "function") else None))
        if as_text(function.get("name")):
            defined.append({name: value for name, value in function.items() if name != "type"})
        else:
            hosted.append(kind or "unknown")
    return defined, hosted


def _reasoning(given: Mapping[str, Any]) -> list[Part]:
    for name in _REASONING:
        if reasoned := as_text(given.get(name)):
            return [parts.thinking(reasoned)]
    return []


def _content(given: Mapping[str, Any]) -> list[Part]:
    key = marked_key(given)
    content = given.get("content")
    blocks = [content] if isinstance(content, str) else as_list(content)
    found = [part for block in blocks if (part := _part(block, key))]
    if refusal := as_text(given.get("refusal")):
        found.append(parts.text(refusal))
    if isinstance(given.get("audio"), dict):
        found.append(parts.opaque({}, "audio"))  # its data is in the response alone, requests name it by id
    return found


def _part(block: Any, key: str | None) -> Part | None:
    """Return the part of a content block; None if it is an empty text."""
    if isinstance(block, str):
        return parts.text(block, key) if block else None
    given = as_dict(block)
    kind = given.get("type", "text")
    if kind in _TEXT_TYPES:
        said = as_text(given.get("text"))
        return parts.text(said, marked_key(given) or key) if said else None
    if kind == "refusal":
        return parts.text(as_text(given.get("refusal")))
    if kind == "thinking":
        return parts.thinking(_joined(given.get("thinking")))
    return parts.opaque(given)


def _joined(value: Any) -> str:
    """Return a text that is given as a string or as a list of text blocks."""
    if isinstance(value, str):
        return value
    return "".join(as_text(as_dict(block).get("text")) for block in as_list(value))


def _results(given: Mapping[str, Any], call_id: Any) -> list[Part]:
    def result(part: Part) -> Part:
        return part if part["type"] != "text" else {**part, "type": "tool_result", "id": as_text(call_id)}

    return [result(part) for part in _content(given)] or [parts.tool_result(call_id, "")]


def _calls(given: Mapping[str, Any]) -> list[Part]:
    calls = [_call(as_dict(call)) for call in as_list(given.get("tool_calls"))]
    if isinstance(old := given.get("function_call"), dict):
        calls.append(parts.tool_call(old.get("name"), old.get("name"), old.get("arguments")))
    return calls


def _call(call: Mapping[str, Any]) -> Part:
    if isinstance(custom := call.get("custom"), dict):
        return {**parts.tool_call(call.get("id"), custom.get("name"), None), "arguments": custom.get("input")}
    function = as_dict(call.get("function", call))
    return parts.tool_call(call.get("id"), function.get("name"), function.get("arguments"))


def _first_choice(body: Mapping[str, Any]) -> dict[str, Any]:
    for choice in map(as_dict, as_list(body.get("choices"))):
        if choice.get("index", 0) == 0:
            return choice
    return {}


def _stop(choice: Mapping[str, Any]) -> str:
    """Return why a response ended; some servers tell whether it was a text of the request's `stop`."""
    return "stop_sequence" if as_text(choice.get("stop_reason")) else as_text(choice.get("finish_reason"))


def _reply(body: Mapping[str, Any], answer: Message | None, stop: str, *, ended: bool) -> CallReply:
    status = status_of(answer, stop, ended=ended)
    return CallReply(
        message=None if status == "failed" else answer,
        model=as_text(body.get("model")),
        status=status,
        usage=usage_of(body.get("usage"), ["prompt_tokens"], "completion_tokens"),
        id=as_text(body.get("id")),
        stop=stop,
    )


class _Deltas:
    """Assembles a chat message from its deltas."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {"role": "assistant"}
        self._calls: list[dict[str, Any]] = []
        self._at: dict[Any, dict[str, Any]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        for name in ("content", "refusal", *_REASONING):
            if piece := as_text(delta.get(name)):
                self._message[name] = self._message.get(name, "") + piece
        if isinstance(delta.get("audio"), dict):
            self._message["audio"] = {}
        if isinstance(old := delta.get("function_call"), dict):
            self._message["function_call"] = _extended(self._message.get("function_call", {}), old)
        for call in map(as_dict, as_list(delta.get("tool_calls"))):
            self._add_call(call)

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        index = as_index(delta.get("index"))
        call = self._at.get(index)
        if call is None or (delta.get("id") and call.get("id", delta["id"]) != delta["id"]):
            call = self._at[index] = {}  # some servers give every call the same index
            self._calls.append(call)
        call |= {name: delta[name] for name in ("id", "type") if delta.get(name)}
        for kind in ("function", "custom"):
            if isinstance(piece := delta.get(kind), dict):
                call[kind] = _extended(call.get(kind, {}), piece)

    def message(self) -> dict[str, Any]:
        return {**self._message, "tool_calls": self._calls}


def _extended(call: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's name and arguments with what a delta adds."""
    pieces = {
        name: as_text(call.get(name)) + as_text(delta.get(name))
        for name in ("arguments", "input")
        if name in call or name in delta
    }
    return {"name": call.get("name") or delta.get("name"), **pieces}
