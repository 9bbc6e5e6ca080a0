"""Anthropic's Messages API.

The top-level `system` becomes a system message. A user turn that holds tool results becomes a message of role `tool`
for each stretch of results and one of role `user` for each stretch of the rest, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from memscope.session.apis import parts
from memscope.session.apis.base import CallReply, CallRequest, Message, Part, body_object, status_of, usage_of
from memscope.session.apis.parts import as_dict, as_index, as_list, as_text, marked_key
from memscope.session.formats.fields import checked_messages, field_error

__all__ = ["NAME", "messages", "reply", "request", "streamed", "tool_definitions"]

NAME = "anthropic-messages"

_INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The field of each delta that extends a block; others, such as signatures, are not part of what the model wrote."""


def request(body: Mapping[str, Any], where: str) -> CallRequest:
    """Read the body of a request.

    Args:
        body: The decoded body.
        where: The place of the body, for errors.

    Raises:
        SessionError: A message is invalid; the error names the field.
    """
    given = checked_messages(body.get("messages"), where)
    tools, hosted = tool_definitions(as_list(body.get("tools")))
    system = _parts(body.get("system"), None)
    return CallRequest(
        messages=[
            *([{"role": "system", "content": system}] if system else []),
            *(made for number, one in enumerate(given) for made in messages(one, where, f"messages[{number}]")),
        ],
        tools=tools,
        hosted=hosted,
        model=as_text(body.get("model")),
    )


def messages(value: Any, where: str, path: str = "") -> list[Message]:
    """Return the canonical messages of one message.

    Args:
        value: The message.
        where: The place of the body, for errors.
        path: The field of the message in the body.

    Raises:
        SessionError: The message is invalid; the error names the field.
    """
    given = body_object(value, where, path)
    role = given.get("role")
    if not isinstance(role, str) or not role:
        raise field_error(where, f"{path}.role".lstrip("."), "a non-empty string", role)
    found = _parts(given.get("content"), marked_key(given))
    if role != "user":
        return [{"role": role, "content": found}]
    return [
        {"role": "tool" if results else role, "content": list(stretch)}
        for results, stretch in groupby(found, lambda part: part["type"] == "tool_result")
    ] or [{"role": role, "content": []}]


def reply(body: Mapping[str, Any]) -> CallReply:
    """Read the body of a response that was not streamed.

    Args:
        body: The decoded body.
    """
    return _reply(body, ended=bool(body.get("content") or body.get("stop_reason")))


def streamed(events: Sequence[Mapping[str, Any]]) -> CallReply:
    """Read the events of a streamed response.

    Args:
        events: The decoded data of each event, in order.
    """
    head: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    blocks: dict[Any, dict[str, Any]] = {}
    for event in events:
        kind, index = event.get("type"), as_index(event.get("index"))
        if kind == "message_start":
            head = dict(as_dict(event.get("message")))
            usage |= as_dict(head.get("usage"))
        elif kind == "content_block_start":
            blocks[index] = dict(as_dict(event.get("content_block")))
        elif kind == "content_block_delta":
            _extend(blocks.setdefault(index, {}), as_dict(event.get("delta")))
        elif kind == "message_delta":
            head |= as_dict(event.get("delta"))
            usage |= {name: count for name, count in as_dict(event.get("usage")).items() if count is not None}
    whole = {**head, "usage": usage, "content": [_finished(block) for block in blocks.values()]}
    return _reply(whole, ended=bool(head.get("stop_reason")))


def tool_definitions(tools: Sequence[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the definitions of the tools, and the types of those that the service defines itself."""
    defined: list[dict[str, Any]] = []
    hosted: list[str] = []
    for tool in map(as_dict, tools):
        name, kind = as_text(tool.get("name")), as_text(tool.get("type"))
        if not name or kind not in ("", "custom"):
            hosted.append(kind or "unknown")
            continue
        described = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
        defined.append({"name": name, **described, "parameters": as_dict(tool.get("input_schema"))})
    return defined, hosted


def _parts(content: Any, key: str | None) -> list[Part]:
    blocks = [content] if isinstance(content, str) else as_list(content)
    return [part for block in blocks for part in _block_parts(block, key)]


def _block_parts(block: Any, key: str | None) -> Iterable[Part]:
    if isinstance(block, str):
        return [parts.text(block, key)] if block else []
    given = as_dict(block)
    match given.get("type", "text"):
        case "text":
            said = as_text(given.get("text"))
            return [parts.text(said, marked_key(given) or key)] if said else []
        case "thinking":
            return [parts.thinking(as_text(given.get("thinking")))]
        case "tool_use":
            return [parts.tool_call(given.get("id"), given.get("name"), given.get("input"))]
        case "tool_result":
            return _results(given, marked_key(given) or key)
    return [parts.opaque(given)]


def _results(block: Mapping[str, Any], key: str | None) -> Iterator[Part]:
    """Yield what a tool returned: a part for each text, an opaque one for each image or document."""
    call_id = block.get("tool_use_id")
    failed = {"is_error": True} if block.get("is_error") is True else {}
    found = _parts(block.get("content"), key) or [parts.text("")]
    for part in found:
        if part["type"] == "text":
            part = {**parts.tool_result(call_id, part["text"], marked_key(part)), **failed}
        yield part


def _extend(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    field = _DELTAS.get(as_text(delta.get("type")))
    if field:
        block[field] = as_text(block.get(field)) + as_text(delta.get(field))


def _finished(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block with the input that was streamed as pieces of JSON text."""
    if not (pieces := block.pop("partial_json", "")):
        return block
    return {**block, "input": parts.parsed_arguments(pieces)}


def _reply(body: Mapping[str, Any], *, ended: bool) -> CallReply:
    stop = as_text(body.get("stop_reason"))
    answer: Message = {"role": "assistant", "content": _parts(body.get("content"), None)}
    status = status_of(answer, stop, ended=ended)
    return CallReply(
        message=None if status == "failed" else answer,
        model=as_text(body.get("model")),
        status=status,
        usage=usage_of(body.get("usage"), _INPUT_TOKENS, "output_tokens"),
        id=as_text(body.get("id")),
        stop=stop,
    )
