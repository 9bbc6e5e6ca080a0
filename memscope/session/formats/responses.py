"""Conversations in the shape of OpenAI's Responses API: requests with `input`, response objects, and lists of either.

A list of items, or a request with the response beside it, is one conversation. A list of response objects, or of
requests with their responses, is a list of calls: each has the conversation of its `previous_response_id` before its
own input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from memscope.session.apis import openai_responses
from memscope.session.apis.base import CallRequest
from memscope.session.apis.parts import as_dict, as_list
from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import checked_content, field_error
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session

__all__ = ["FORMAT", "read_responses"]

_TEXT_BLOCKS = ("input_text", "output_text")
_ITEM_SUFFIXES = ("_call", "_call_output")
_ITEMS = ("reasoning", "item_reference")


class _Exchange(NamedTuple):
    """A request's body and the response to it; what a response object repeats stands for a body that was not saved."""

    body: Mapping[str, Any]
    response: Mapping[str, Any] | None
    where: str

    @property
    def request(self) -> CallRequest:
        """The request.

        Raises:
            SessionError: An item is invalid; the error names the field.
        """
        for number, item in enumerate(as_list(self.body.get("input"))):
            _check_item(as_dict(item), self.where, f"input[{number}]")
        return openai_responses.request(self.body, self.where)


def read_responses(document: Any, name: str, new_detector: NewDetector) -> Session:
    """Convert a decoded document.

    Args:
        document: A request's body, a response object, both in one object, a list of either, or a list of items.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.

    Raises:
        SessionError: An item is invalid; the error names it and the field.
    """
    reader = _Reader(name, new_detector)
    if not isinstance(document, list):
        return reader.conversation(_exchange(document, name))
    if _holds_items(document):
        return reader.conversation(_Exchange({"input": document}, None, name))
    return reader.calls([_exchange(entry, f"{name}: response {number}") for number, entry in enumerate(document)])


class _Reader:
    """Adds requests and responses to a transcript.

    Attributes:
        lacks: Whether something of a prompt is not in the file.
    """

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        self._transcript = Transcript(name, FORMAT.name, new_detector)
        self._conversations: dict[str, list[int]] = {}
        self.lacks = False

    def conversation(self, exchange: _Exchange) -> Session:
        """Return the session of one request, in which every response has all before it as its prompt."""
        request = exchange.request
        self._note_lacks(exchange, request)
        if request.previous:
            self._note(_EARLIER)
        for message in request.messages:
            self._transcript.add(message, exchange.where)
        model = self._add_reply(exchange) or request.model
        return self._transcript.session(
            models=[model], whole=not self.lacks, tools=[chat_tool(tool) for tool in request.tools]
        )

    def calls(self, exchanges: Iterable[_Exchange]) -> Session:
        """Return the session of requests and responses, each with its own prompt."""
        for number, exchange in enumerate(exchanges):
            self._add_call(exchange, number)
        return self._transcript.session(whole=not self.lacks)

    def _add_reply(self, exchange: _Exchange) -> str:
        """Add the response of a conversation, and return the name of its model."""
        if exchange.response is None:
            return ""
        reply = openai_responses.reply(exchange.response)
        if reply.message is not None:
            self._transcript.add(reply.message, exchange.where)
        return reply.model

    def _add_call(self, exchange: _Exchange, number: int) -> None:
        request = exchange.request
        self._note_lacks(exchange, request)
        reply = openai_responses.reply(exchange.response or {})
        added = [self._transcript.add_once(message, exchange.where) for message in request.messages]
        own, said = added[: request.own], [*self._before(request), *added[request.own :]]
        model = reply.model or request.model
        response = None
        if reply.message is not None:
            response = self._transcript.add_once(reply.message, exchange.where, model=model)
        self._transcript.call(
            reply.id or str(number),
            prompt=[*own, *said],
            response=response,
            tools=[chat_tool(tool) for tool in request.tools],
            model=model,
            timestamp=_time(as_dict(exchange.response).get("created_at")),
            api=openai_responses.NAME,
            status=reply.status,
        )
        self._conversations[reply.id] = said if response is None else [*said, response]

    def _before(self, request: CallRequest) -> Sequence[int]:
        if request.previous and request.previous not in self._conversations:
            self._note(_EARLIER)
        return self._conversations.get(request.previous, []) if request.previous else []

    def _note_lacks(self, exchange: _Exchange, request: CallRequest) -> None:
        if "input" not in exchange.body:
            self._note("response objects do not hold their input: save the requests too")
        if request.missing:
            self._note(f"{request.missing} that the service keeps is not in the file")
        self._transcript.note_hosted(request.hosted)

    def _note(self, line: str) -> None:
        self.lacks = True
        self._transcript.builder.note(line)


_EARLIER = "earlier responses that a request continues are not in the file"


def _exchange(entry: Any, where: str) -> _Exchange:
    match entry:
        case {"request": dict(body), "response": dict(response)}:
            return _Exchange(body, response, where)
        case {"input": _, "response": dict(response)}:
            return _Exchange(entry, response, where)
        case {"input": _, "output": list()}:
            return _Exchange(entry, {"status": "completed", **entry}, where)
        case {"output": list()}:
            return _Exchange(entry, entry, where)
        case {"input": _}:
            return _Exchange(entry, None, where)
    raise field_error(where, "", "a request with `input` or a response object", entry)


def _check_item(item: Mapping[str, Any], where: str, path: str) -> None:
    if item and not isinstance(item.get("type", item.get("role")), str):
        raise field_error(where, f"{path}.type", "the type of an item", item.get("type"))
    for field in ("content", "output"):
        checked_content(item.get(field), where, f"{path}.{field}")


def _time(seconds: Any) -> str | None:
    """Return a Unix time in RFC 3339."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _holds_items(entries: Sequence[Any]) -> bool:
    return not any(_is_exchange(entry) for entry in entries)


def _is_exchange(entry: Any) -> bool:
    match entry:
        case {"object": "response", "output": list()} | {"request": {"input": _}, "response": dict()}:
            return True
        case {"input": list() | str(), "output": [{"type": str()}, *_]} | {"input": _, "response": {"output": list()}}:
            return True
    return False


def _is_item(item: Any) -> bool:
    match item:
        case {"type": str(kind)} if kind.endswith(_ITEM_SUFFIXES) or kind in _ITEMS:
            return True
        case {"role": str(), "content": list(blocks)}:
            return any(as_dict(block).get("type") in _TEXT_BLOCKS for block in blocks)
    return False


def _recognises(head: FileHead) -> bool:
    value = head.value
    match value:
        case list():
            return _is_exchange(value[0]) if value and _is_exchange(value[0]) else any(map(_is_item, value))
        case {"input": list() | str(), "instructions": _}:
            return "messages" not in value
        case {"input": list(items)}:
            return "messages" not in value and any(_is_item(item) or "role" in as_dict(item) for item in items)
    return _is_exchange(value)


FORMAT = document_format(
    name="responses",
    expected="OpenAI Responses",
    recognises=_recognises,
    read=read_responses,
)
