"""Recordings: append-only JSON Lines of messages, tools, and the calls that sent and received them.

The first line is a header. A message or a list of tools is written once and named by its id in any number of calls; a
call comes after everything it names:

    {"type":"recording","version":1,"id":"…","title":"…","client":"python agent.py"}
    {"type":"message","id":"m1","role":"user","content":[{"type":"text","text":"…","memory":{"key":"…"}}]}
    {"type":"tools","id":"t1","tools":[{"name":"sh","description":"…","parameters":{}}]}
    {"type":"call","id":"c1","api":"openai-chat","model":"…","prompt":["m1"],"tools":"t1","response":"m2",…}

Messages are those of `memscope.session.formats.builder`; memory rules look at those in which nothing is marked. The
prompt of a raw completion is one message of role `prompt`, its response one of role `completion`; the text of either
may be given by its exact ids, as a part `{"type":"tokens","ids":[…],"text":"…"}` whose text is optional.

The recorders also give a call its `usage` (numbers of `input` and `output` tokens), the service's reason to `stop`, and
where they apply its `http_status`, the number of `choices` that were asked for, the types of `hosted_tools`, whose
definitions only the service knows, and `incomplete` where the service had context that was not sent. `response_id` and
`own`, the number of messages at the front that are this call's alone, let a later call continue the conversation.

A call has a `status`, which decides what is scored, so an unknown one is an error; an `api` only says where the call
came from, so an unknown one is kept and rendered as chat. Rows of an unknown type, which a later version may write, are
skipped and counted; so are, with their errors, lines that are not JSON, as a killed writer leaves one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.builder import SessionBuilder, has_mark
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.fields import Fields
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.limits import RECORDING_VERSION
from memscope.session.nodes import CallStatus, Session
from memscope.session.text import WRITTEN_ROLES
from memscope.session.timestamps import is_timestamp

__all__ = ["FORMAT", "RecordingReader", "read_recording"]

_STATUSES: tuple[CallStatus, ...] = ("complete", "cut", "failed")
_BROKEN_HEADER = re.compile(rb'\{[ \t]*"type"[ \t]*:[ \t]*"recording"')
"""A first line that is not JSON but begins like a recording's, so that its error is reported as one."""

_INVALID_NAMED = 3
"""Lines that are not JSON which are told one by one; the others are counted."""


class RecordingReader:
    """Reads a recording. A last line without a newline is kept until the newline arrives or `finish` is called."""

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        """Create a reader for the file with this name."""
        self._name = name
        self._lines = LineReader(name, skip_blank=True, on_invalid=self._skip_invalid)
        self._builder = SessionBuilder(name, FORMAT.name, new_detector())
        self._header: dict[str, Any] = {}
        self._seen = _Seen()
        self._messages = _Messages(self._builder, self._seen)
        self._tools: dict[str, tuple[Mapping[str, Any], ...]] = {}
        self._models: set[str] = set()
        self._whole = True
        self._invalid = 0

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._take(self._lines.feed(data))

    def finish(self) -> None:
        """See `SessionReader.finish`; a last line that is incomplete is skipped, as a killed writer leaves one."""
        self._take(self._lines.finish())

    def session(self) -> Session:
        """See `SessionReader.session`."""
        if not self._header:
            raise SessionError(f"{self._name}:1: expected a header of type recording on the first line, got nothing")
        answered_by = next(iter(self._models)) if len(self._models) == 1 else ""
        given = {"model": answered_by, **self._header}
        return self._builder.session(whole=self._whole, **given)

    def _take(self, lines: Iterable[JsonLine]) -> None:
        for line in lines:
            fields = Fields(line.value, line.where)
            if not self._header:
                self._header = _header(fields)
            else:
                self._row(fields, line)

    def _row(self, fields: Fields, line: JsonLine) -> None:
        kind = fields.text("type", empty=False)
        if kind == "message":
            self._messages.add(fields, line.where)
        elif kind == "tools":
            self._add_tools(fields)
        elif kind == "call":
            self._add_call(fields)
        elif kind == "recording":
            raise fields.error("type", "a row: a recording has one header, on its first line", kind)
        else:
            self._builder.skip(f"{kind} row")

    def _add_tools(self, fields: Fields) -> None:
        name = fields.text("id", empty=False)
        tools = fields.take("tools", list, "a list of tools")
        for number, tool in enumerate(tools):
            fields.child("tools", number, tool)
        if self._seen.is_new("tools", name, tools, fields):
            self._tools[name] = tuple(chat_tool(tool) for tool in tools)
            self._seen.add("tools", name, tools)

    def _add_call(self, fields: Fields) -> None:
        call = fields.extra.copy()
        name = fields.text("id", empty=False)
        if not self._seen.is_new("call", name, call, fields):
            return
        prompt = fields.take("prompt", list, "a list of message ids")
        response = fields.take("response", str, "the id of a message", None)
        status = _status(fields, response)
        positions = self._messages.positions(fields, prompt)
        if response in prompt:
            raise fields.error(
                "response", "a message that is not in the call's own prompt (a repeated text needs a new id)", response
            )
        self._builder.call(
            id=name,
            prompt=positions,
            response=None if response is None else self._messages.response(fields, response),
            tools=self._named_tools(fields),
            model=self._model(fields),
            timestamp=_timestamp(fields),
            api=fields.take("api", str, "a string", ""),
            status=status,
            extra=fields.extra,
        )
        self._seen.add("call", name, call)
        if status == "failed":
            self._builder.skip("failed call")
        self._note(fields)

    def _named_tools(self, fields: Fields) -> tuple[Mapping[str, Any], ...]:
        name = fields.take("tools", str, "the id of tools on an earlier line", None)
        if name is None:
            return ()
        if name not in self._tools:
            raise self._seen.missing(fields, "tools", "tools", name)
        return self._tools[name]

    def _model(self, fields: Fields) -> str:
        model: str = fields.take("model", str, "a string", "")
        if model:
            self._models.add(model)
        return model

    def _note(self, fields: Fields) -> None:
        """Tell what a call's prompt lacks, and what of it is not recorded."""
        extra = fields.extra
        if extra.get("incomplete"):
            self._whole = False
            self._builder.note(_INCOMPLETE)
        if extra.get("hosted_tools"):
            self._builder.note(_HOSTED)
        if extra.get("choices"):
            self._builder.note(_CHOICES)

    def _skip_invalid(self, error: SessionError) -> None:
        if not self._header:
            raise error
        self._seen.skipped = self._seen.skipped or str(error)
        self._invalid += 1
        if self._invalid <= _INVALID_NAMED:
            self._builder.note(f"a line skipped: {error}")
        else:
            self._builder.skip("more invalid line")


_INCOMPLETE = "some calls had context that is not in the recording: their responses are scored without it"
_HOSTED = "some calls offered tools that the service itself defines: their definitions are not in the scored prompt"
_CHOICES = "some calls asked for several responses: the first one is recorded"


class _Messages:
    """The messages of a recording by their ids; the same content under several ids is one node."""

    def __init__(self, builder: SessionBuilder, seen: _Seen) -> None:
        self._builder, self._seen = builder, seen
        self._positions: dict[str, int] = {}
        self._roles: dict[str, str] = {}
        self._with_results: set[str] = set()

    def add(self, fields: Fields, where: str) -> None:
        """Add a message, unless it was added before."""
        message = fields.extra.copy()
        name = fields.text("id", empty=False)
        if self._seen.is_new("message", name, message, fields):
            self._positions[name] = self._builder.message(message, where, detect=not has_mark(message), once=True)
            self._roles[name] = message["role"]
            if any(isinstance(part, dict) and part.get("type") == "tool_result" for part in message["content"]):
                self._with_results.add(name)
            self._seen.add("message", name, message)

    def positions(self, fields: Fields, names: Sequence[Any]) -> list[int]:
        """Return the positions of the messages of a call's prompt."""
        try:
            return [self._positions[name] for name in names]
        except (KeyError, TypeError):
            return [self.position(fields, f"prompt[{number}]", name) for number, name in enumerate(names)]

    def position(self, fields: Fields, field: str, name: Any) -> int:
        """Return the position of a message that a call names."""
        if not isinstance(name, str) or name not in self._positions:
            raise self._seen.missing(fields, field, "a message", name)
        return self._positions[name]

    def response(self, fields: Fields, name: str) -> int:
        """Return the position of a call's response."""
        position = self.position(fields, "response", name)
        if self._roles[name] not in WRITTEN_ROLES:
            raise fields.error("response", f"a message of role {' or '.join(WRITTEN_ROLES)}", self._roles[name])
        if name in self._with_results:
            raise fields.error("response", "a message without tool results, which no model writes", name)
        return position


class _Seen:
    """The rows read so far, of which each may come again with the same content, and none with another.

    Attributes:
        skipped: Why the first line that was skipped is invalid; "" if none was.
    """

    def __init__(self) -> None:
        self.skipped = ""
        self._digests: dict[tuple[str, str], bytes] = {}

    def is_new(self, kind: str, name: str, value: Any, fields: Fields) -> bool:
        """Return whether a row is new.

        Raises:
            SessionError: An earlier row of this kind has its id, and another content.
        """
        known = self._digests.get((kind, name))
        if known is not None and known != _digest(value):
            raise fields.error("id", "an id of its own: an earlier line has it with another content", name)
        return known is None

    def add(self, kind: str, name: str, value: Any) -> None:
        """Note a row that was read without an error."""
        self._digests[kind, name] = _digest(value)

    def missing(self, fields: Fields, field: str, what: str, name: Any) -> SessionError:
        """Return the error for an id that no earlier row has, which may stand on a line that was skipped."""
        error = fields.error(field, f"the id of {what} on an earlier line", name)
        return SessionError(f"{error}; it may be on a line that was skipped: {self.skipped}") if self.skipped else error


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).digest()


def _status(fields: Fields, response: str | None) -> CallStatus:
    expected = f"one of {', '.join(_STATUSES)}"
    status: CallStatus = fields.take("status", str, expected, "complete" if response else "failed")
    if status not in _STATUSES:
        raise fields.error("status", expected, status)
    if status == "failed" and response is not None:
        raise fields.error("response", "no response of a call that failed", response)
    if status != "failed" and response is None:
        raise fields.error("response", "the id of a message, since the call did not fail", response)
    return status


def _timestamp(fields: Fields) -> str | None:
    stamp: str | None = fields.take("timestamp", str, "an RFC 3339 time", None)
    if stamp is not None and not is_timestamp(stamp):
        raise fields.error("timestamp", "an RFC 3339 time such as 2026-11-20T10:00:00Z", stamp)
    return stamp


def _header(fields: Fields) -> dict[str, Any]:
    kind = fields.text("type", empty=False)
    if kind != "recording":
        raise fields.error("type", "a header of type recording on the first line", kind)
    version = fields.take("version", int, f"version {RECORDING_VERSION}")
    if version != RECORDING_VERSION:
        raise fields.error("version", f"version {RECORDING_VERSION}, which this memscope supports", version)
    header = {"id": fields.text("id", empty=False), "title": fields.take("title", str, "a string", "")}
    if model := fields.take("model", str, "a string", ""):
        header["model"] = model
    if not header["title"] and isinstance(client := fields.extra.get("client"), str):
        header["title"] = client
    return {**header, "extra": fields.extra}


def read_recording(data: bytes, name: str, new_detector: NewDetector) -> Session:
    """Read a whole recording.

    Raises:
        SessionError: The file is invalid; the message names file, line and field.
    """
    return FORMAT.read(data, name, new_detector)


def _recognises(head: FileHead) -> bool:
    match head.first:
        case None:
            return _BROKEN_HEADER.match(head.data) is not None
        case {"type": "recording"}:
            return True
    return False


FORMAT = SessionFormat(
    name="recording",
    expected="a header line of type recording",
    appends=True,
    recognises=_recognises,
    reader=RecordingReader,
)
