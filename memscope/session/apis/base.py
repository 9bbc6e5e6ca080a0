"""What a call's request and reply are read as, whatever the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from memscope.session.formats.fields import field_error

__all__ = [
    "REPLY",
    "CallReply",
    "CallRequest",
    "Message",
    "Part",
    "ReplyStatus",
    "body_object",
    "status_of",
    "usage_of",
    "without_unfinished_call",
]

Message: TypeAlias = dict[str, Any]
"""A canonical message; see `memscope.session.formats.builder`."""
Part: TypeAlias = dict[str, Any]
"""A part of a canonical message's content."""
ReplyStatus: TypeAlias = Literal["complete", "cut", "failed"]

REPLY = "the response"
"""The place that errors about a reply name."""

_STOPPED = {
    "content_filter",
    "length",
    "max_output_tokens",
    "max_tokens",
    "model_context_window_exceeded",
    "pause_turn",
    "refusal",
    "stop_sequence",
}
"""The service's reasons for ending a response that the model did not end: it has no end of turn to be scored."""


class CallRequest(NamedTuple):
    """What a call sent.

    Attributes:
        messages: The prompt's canonical messages, in order.
        tools: The tool definitions, as objects with `name`, `description` and `parameters`.
        hosted: Types of the tools that the service defines itself: their definitions are not in the request.
        model: Name of the model that was asked for; "" if there is none.
        previous: Id of the response whose conversation comes before the messages (Responses API); "" if there is none.
        own: How many messages at the front are not part of the conversation that a later call may continue.
        choices: How many responses were asked for; the first one is recorded.
        missing: Which part of the context the request leaves to the service; "" if it holds the whole context.
    """

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    hosted: Sequence[str] = ()
    model: str = ""
    previous: str = ""
    own: int = 0
    choices: int = 1
    missing: str = ""


class CallReply(NamedTuple):
    """What a call received.

    Attributes:
        message: The canonical message of the response; None if there is none.
        model: Name of the model that answered; "" if the reply does not say.
        status: "cut": the response ended before the model ended it. "failed": there is no response.
        usage: Numbers of `input` and `output` tokens, as far as the reply says.
        id: The service's id of the response; "" if there is none.
        stop: The service's reason why the response ended; "" if there is none.
    """

    message: Message | None
    model: str = ""
    status: ReplyStatus = "complete"
    usage: Mapping[str, int] = {}
    id: str = ""
    stop: str = ""


def status_of(message: Message | None, stop: str, *, ended: bool) -> ReplyStatus:
    """Return the status of a response.

    Args:
        message: Its canonical message.
        stop: The service's reason why it ended.
        ended: Whether the service said that it ended.
    """
    if not ended or stop in _STOPPED:
        return "cut" if message and message["content"] else "failed"
    return "complete" if message else "failed"


def without_unfinished_call(message: Message) -> Message:
    """Return a response that was cut, with a tool call whose arguments are not whole at its end as an opaque part.

    Templates could only write such arguments as a JSON text, which is not what the model wrote.

    Args:
        message: The canonical message of the response.
    """
    match message["content"]:
        case [*before, {"type": "tool_call", "name": name, "arguments": str(text)}]:
            size = len(text.encode("utf-8", "replace"))
            part = {"type": "opaque", "kind": "unfinished tool call", "bytes": size, "name": name, "arguments": text}
            return {**message, "content": [*before, part]}
    return message


def usage_of(usage: Any, inputs: Sequence[str], output: str) -> dict[str, int]:
    """Return canonical token counts, without those that the reply does not give.

    Args:
        usage: The reply's `usage`.
        inputs: Names of the counts whose sum is the input.
        output: Name of the count of the output.
    """
    given = {name: value for name, value in usage.items() if type(value) is int} if isinstance(usage, dict) else {}
    counts = {}
    if any(name in given for name in inputs):
        counts["input"] = sum(given.get(name, 0) for name in inputs)
    if output in given:
        counts["output"] = given[output]
    return counts


def body_object(value: Any, where: str, path: str = "") -> dict[str, Any]:
    """Return a value that must be an object.

    Raises:
        SessionError: It is not one; the message names the place and the field.
    """
    if not isinstance(value, dict):
        raise field_error(where, path, "an object", value)
    return value
