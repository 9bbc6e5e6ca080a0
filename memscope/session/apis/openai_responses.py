"""OpenAI's Responses API.

`instructions` become a system message. The items that a model makes in one turn (reasoning, messages, calls of tools)
become one assistant message, as they do in its response, so that a later request repeats the same message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from memscope.session.apis import parts
from memscope.session.apis.base import REPLY, CallReply, CallRequest, Message, Part, body_object, status_of, usage_of
from memscope.session.apis.parts import as_dict, as_index, as_list, as_text, marked_key
from memscope.session.formats.fields import field_error

__all__ = ["NAME", "messages", "reply", "request", "streamed", "tool_definitions"]

NAME = "openai-responses"

_TEXT_TYPES = ("input_text", "output_text", "text")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_OUTPUT_SUFFIX = "_output"
_LEFT_TO_SERVICE = {"conversation": "a conversation", "prompt": "a prompt template"}
_DELTAS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""For each event that extends a part of an item: the item's list, the part's type, and the part's field."""
_CALL_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def request(body: Mapping[str, Any], where: str) -> CallRequest:
    """Read the body of a request.

    Args:
        body: The decoded body.
        where: The place of the body, for errors.

    Raises:
        SessionError: An item is invalid; the error names the field.
    """
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list | None):
        raise field_error(where, "input", "a text or a list of items", given)
    instructions = body.get("instructions")
    own: list[Message] = [{"role": "system", "content": _content(instructions, None)}] if instructions else []
    tools, hosted = tool_definitions(as_list(body.get("tools")))
    return CallRequest(
        messages=[*own, *messages(items or [], where, "input")],
        tools=tools,
        hosted=hosted,
        model=as_text(body.get("model")),
        previous=as_text(body.get("previous_response_id")),
        own=len(own),
        missing=_missing(body, items or []),
    )


def messages(items: Sequence[Any], where: str, path: str) -> list[Message]:
    """Return the canonical messages of a list of items.

    Args:
        items: The items.
        where: The place of the body, for errors.
        path: The field of the list in the body.

    Raises:
        SessionError: An item is not an object; the error names the field.
    """
    objects = [body_object(item, where, f"{path}[{number}]") for number, item in enumerate(items)]
    made = [(_role(item), _parts(item)) for item in objects]
    found: list[Message] = []
    for role, turn in groupby(made, lambda pair: pair[0]):
        if role in ("assistant", "tool"):
            found.append({"role": role, "content": [part for _, content in turn for part in content]})
        else:
            found += [{"role": role, "content": content} for _, content in turn]
    return found


def reply(body: Mapping[str, Any]) -> CallReply:
    """Read the body of a response that was not streamed.

    Args:
        body: The decoded body.
    """
    state = as_text(body.get("status"))
    return _reply(body, as_list(body.get("output")), ended=state == "completed")


def streamed(events: Sequence[Mapping[str, Any]]) -> CallReply:
    """Read the events of a streamed response.

    Args:
        events: The decoded data of each event, in order.
    """
    head: dict[str, Any] = {}
    items: dict[Any, dict[str, Any]] = {}
    for event in events:
        kind, index = as_text(event.get("type")), as_index(event.get("output_index"))
        if isinstance(event.get("response"), dict):
            head = event["response"]
        if kind in ("response.output_item.added", "response.output_item.done"):
            items[index] = dict(as_dict(event.get("item")))
        else:
            _extend(items.get(index, {}), kind, event)
        if kind in _ENDS:
            break
    output = as_list(head.get("output")) or list(items.values())
    return _reply(head, output, ended=as_text(head.get("status")) == "completed")


def tool_definitions(tools: Sequence[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the definitions of the tools, and the types of those that the service defines itself."""
    defined: list[dict[str, Any]] = []
    hosted: list[str] = []
    for tool in map(as_dict, tools):
        name, kind = as_text(tool.get("name")), as_text(tool.get("type"))
        if not name or kind not in ("", "function", "custom"):
            hosted.append(kind or "unknown")
            continue
        described = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
        defined.append({"name": name, **described, "parameters": as_dict(tool.get("parameters"))})
    return defined, hosted


def _missing(body: Mapping[str, Any], items: Sequence[Any]) -> str:
    for name, what in _LEFT_TO_SERVICE.items():
        if body.get(name):
            return what
    return "an item" if any(as_dict(item).get("type") == "item_reference" for item in items) else ""


def _role(item: Mapping[str, Any]) -> str:
    if role := as_text(item.get("role")):
        return role
    return "tool" if as_text(item.get("type")).endswith(_OUTPUT_SUFFIX) else "assistant"


def _parts(item: Mapping[str, Any]) -> list[Part]:
    kind = as_text(item.get("type")) or "message"
    if kind == "message":
        return _content(item.get("content"), marked_key(item))
    if kind == "reasoning":
        return _reasoning(item)
    if kind in _CALLS:
        call = parts.tool_call(item.get("call_id"), item.get("name"), item.get(_CALLS[kind]))
        return [call if kind == "function_call" else {**call, "arguments": item.get("input")}]
    if kind in _OUTPUTS:
        return _results(item)
    return [parts.opaque(item)]


def _content(content: Any, key: str | None) -> list[Part]:
    blocks = [content] if isinstance(content, str) else as_list(content)
    return [part for block in blocks for part in _block(block, key)]


def _block(block: Any, key: str | None) -> Iterable[Part]:
    if isinstance(block, str):
        return [parts.text(block, key)] if block else []
    given = as_dict(block)
    kind = given.get("type", "text")
    if kind in _TEXT_TYPES or kind == "refusal":
        said = as_text(given.get("refusal" if kind == "refusal" else "text"))
        return [parts.text(said, marked_key(given) or key)] if said else []
    if kind == "message":  # an item, as in instructions given as a list
        return _content(given.get("content"), marked_key(given) or key)
    return [parts.opaque(given)]


def _reasoning(item: Mapping[str, Any]) -> list[Part]:
    """Return reasoning as text where the service gives it; a summary of it is not what the model wrote."""
    written = [as_text(as_dict(block).get("text")) for block in as_list(item.get("content"))]
    if any(written):
        return [parts.thinking("".join(written))]
    summary = "\n".join(as_text(as_dict(block).get("text")) for block in as_list(item.get("summary")))
    sealed = as_text(item.get("encrypted_content"))
    part = {"type": "opaque", "kind": "reasoning", "bytes": len(sealed.encode("utf-8", "replace"))}
    return [{**part, "summary": summary} if summary else part]


def _results(item: Mapping[str, Any]) -> list[Part]:
    call_id = item.get("call_id")
    found = _content(item.get("output"), marked_key(item)) or [parts.text("")]
    return [
        parts.tool_result(call_id, part["text"], marked_key(part)) if part["type"] == "text" else part for part in found
    ]


def _extend(item: dict[str, Any], kind: str, event: Mapping[str, Any]) -> None:
    delta = as_text(event.get("delta"))
    if name := _CALL_DELTAS.get(kind):
        item[name] = as_text(item.get(name)) + delta
    elif kind in _DELTAS:
        name, part_type, field = _DELTAS[kind]
        blocks = item[name] = [*as_list(item.get(name))]
        index = as_index(event.get("content_index", event.get("summary_index", 0)))
        if index == len(blocks):
            blocks.append({"type": part_type})
        if index is not None and index < len(blocks):
            block = as_dict(blocks[index])
            blocks[index] = {**block, field: as_text(block.get(field)) + delta}


def _reply(head: Mapping[str, Any], output: Sequence[Any], *, ended: bool) -> CallReply:
    turns = messages([item for item in output if isinstance(item, dict)], REPLY, "output")
    content = [part for turn in turns for part in turn["content"]]
    answer: Message = {"role": "assistant", "content": content}
    stop = as_text(as_dict(head.get("incomplete_details")).get("reason")) or as_text(head.get("status"))
    status = status_of(answer if ended or content else None, stop, ended=ended)
    return CallReply(
        message=None if status == "failed" else answer,
        model=as_text(head.get("model")),
        status=status,
        usage=usage_of(head.get("usage"), ["input_tokens"], "output_tokens"),
        id=as_text(head.get("id")),
        stop=stop,
    )
