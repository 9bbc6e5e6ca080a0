"""Record calls from inside Python, as `memscope record` does from outside."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from memscope.errors import SessionError, UsageError
from memscope.record.call_api import CallApi, api_named
from memscope.record.lines import utc_now
from memscope.record.writer import RecordingWriter
from memscope.session.apis.base import CallReply, usage_of
from memscope.session.apis.parts import as_dict, as_list, marked_key

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

__all__ = ["Recorder"]

Messages: TypeAlias = "str | Sequence[Any]"
"""A text, token ids, or a list of messages, each of which may be a text."""

_CHAT, _RESPONSES, _COMPLETIONS, _ANTHROPIC = (
    "openai-chat", "openai-responses", "openai-completions", "anthropic-messages",
)  # fmt: skip
_ANTHROPIC_BLOCKS = {"tool_use", "tool_result", "thinking", "redacted_thinking"}
_REPLY_FIELDS = ("choices", "output", "stop_reason")
"""The fields of which the body of every API's response has one, and no message has any."""


class Recorder:
    """Writes the calls of an agent to a recording, which `memscope FILE` opens and `memscope FILE --follow` follows.

    A message may have the shape of OpenAI's or Anthropic's API, or be a text, which is a user's. A call that cannot be
    recorded, because the disk is full or because it has another shape, is reported once and raises nothing. A recorder
    may be used from several threads.
    """

    def __init__(self, path: str | PathLike[str], *, title: str = "") -> None:
        """Create a recording, or continue one.

        Args:
            path: The file; its folder must exist.
            title: The title of a new recording.

        Raises:
            SessionError: The file cannot be written, another recorder writes it, or it is not a recording.
        """
        self._writer = RecordingWriter(path, title=title, on_problem=_tell)

    def memory(self, key: str, text: str) -> dict[str, Any]:
        """Return a part of a message's content that is marked as a memory; send messages that hold one `unmarked`.

        Args:
            key: The memory's key; the same key with another text is a new version of the same memory.
            text: Its text, exactly as the model sees it.

        Raises:
            UsageError: The key is empty, or one of the two is not a text.
        """
        if not (isinstance(key, str) and key and isinstance(text, str)):
            raise UsageError(f"a memory is a key, which is not empty, and a text; got {key!r} and {text!r}")
        return {"type": "text", "text": text, "memory": {"key": key}}

    def unmarked(self, messages: Sequence[Any]) -> list[Any]:
        """Return messages, or parts of one, as a server expects them: without marks, and each text of a list a part."""
        return [_unmarked(message) for message in messages]

    def call(
        self,
        messages: Messages,
        response: Any,
        *,
        model: str = "",
        system: Any = None,
        tools: Sequence[Mapping[str, Any]] = (),
        api: str = "",
        usage: Mapping[str, int] | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Record one call.

        Args:
            messages: What was sent: messages, or the prompt of a raw completion as a text or as token ids.
            response: What came back: a text, a message, the API's whole response as a dictionary or as its client's
                object, or None if the call failed.
            model: Name of the model; by default what the response says.
            system: The system prompt, where it is not among the messages: a text or a list of parts.
            tools: The tool definitions that were sent.
            api: The shape of the messages: "openai-chat", "openai-responses", "openai-completions" or
                "anthropic-messages"; by default, OpenAI's chat or Anthropic's, whichever the messages have.
            usage: Numbers of `input` and `output` tokens; by default what the response says.
            timestamp: When the call began, in RFC 3339; by default now.

        Raises:
            UsageError: The API is unknown.
        """
        known = api_named(api or _shape(messages, response))
        if known is None:
            raise UsageError(f"api {api!r} is unknown; expected {_CHAT}, {_RESPONSES}, {_COMPLETIONS} or {_ANTHROPIC}")
        try:
            request = known.request(_body(known, messages, system, model, tools), "the call")
            reply = _reply(known, response)
            counts = usage_of(usage, ["input"], "output") or reply.usage
            reply = reply._replace(model=model or reply.model, usage=counts)
            self._writer.add(request, reply, api=known.name, timestamp=_checked(timestamp) if timestamp else utc_now())
        except (SessionError, TypeError, ValueError, RecursionError) as error:
            self._writer.report(f"a call could not be recorded: {error}")

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tell(problem: str) -> None:
    sys.stderr.write(f"memscope: {problem}\n")


def _checked(timestamp: str) -> str:
    from memscope.session.timestamps import is_timestamp

    if not is_timestamp(timestamp):
        raise ValueError(f"timestamp {timestamp!r}: expected an RFC 3339 time such as 2026-11-20T10:00:00Z")
    return timestamp


def _unmarked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: [_unmarked_part(part) for part in held] if name == "content" and isinstance(held, list) else held
        for name, held in value.items()
        if not (name == "memory" and marked_key(value))
    }


def _unmarked_part(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else _unmarked(part)


def _shape(messages: Messages, response: Any) -> str:
    """Return the API whose shape some message has, or else OpenAI's chat."""
    response = _plain(response)
    given = [*([] if isinstance(messages, str) else map(_message, messages)), response]
    blocks = [as_dict(block).get("type") for message in given for block in as_list(as_dict(message).get("content"))]
    anthropic = not _ANTHROPIC_BLOCKS.isdisjoint(blocks) or "stop_reason" in as_dict(response)
    return _ANTHROPIC if anthropic else _CHAT


def _body(
    api: CallApi, messages: Messages, system: Any, model: str, tools: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the body of a request that sends these messages."""
    if api.name == _COMPLETIONS:
        return {"prompt": messages if isinstance(messages, str) else list(messages), "model": model}
    sent = [_message(one) for one in ([messages] if isinstance(messages, str) else messages)]
    body: dict[str, Any] = {"model": model, "tools": [_plain(tool) for tool in tools]}
    if api.name == _RESPONSES:
        return {**body, "input": sent, "instructions": system}
    if api.name == _ANTHROPIC:
        return {**body, "messages": sent, "system": system}
    first = [] if system is None else [{"role": "system", "content": system}]
    return {**body, "messages": [*first, *sent]}


def _message(value: Any) -> Any:
    """Return a message as a dictionary, also where it or its parts are objects of a client library."""
    if isinstance(value, str):
        return {"role": "user", "content": value}
    message = _plain(value)
    if isinstance(content := as_dict(message).get("content"), list):
        return {**message, "content": [_plain(part) for part in content]}
    return message


def _plain(value: Any) -> Any:
    """Return a client library's object as the dictionary that it was made from."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else value


def _reply(api: CallApi, response: Any) -> CallReply:
    given = _plain(response)
    if given is None:
        return CallReply(None, status="failed")
    if any(name in as_dict(given) for name in _REPLY_FIELDS):
        return api.reply(given)
    if api.name == _COMPLETIONS:
        return api.reply({"choices": [{"text": given, "finish_reason": "stop"}]})
    message = {"role": "assistant", "content": given} if isinstance(given, str) else _message(given)
    field = "input" if api.name == _RESPONSES else "messages"
    (made,) = api.request({field: [message]}, "the response").messages
    return CallReply(made)
