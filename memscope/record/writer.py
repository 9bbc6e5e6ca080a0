"""Append calls to a recording.

Every line is one write, a call's own line comes last, and a line whose write failed counts as not written. So the file
can be read at any moment, and a writer that is killed costs the calls in flight at most.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memscope.errors import SessionError
from memscope.record.conversations import Conversation, Conversations
from memscope.record.lines import AppendedFile, content_id, encoded, new_name
from memscope.session.apis.base import CallReply, CallRequest, Message, without_unfinished_call
from memscope.session.limits import LINE_LIMIT, RECORDING_VERSION

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

__all__ = ["RecordingWriter", "new_recording"]

_STORING_API = "openai-responses"
"""The API whose calls may continue a conversation that the service keeps."""
_CALL_ID = re.compile(r"c(\d{1,9})")
_NAME = re.compile(r"\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}")
_NAME_DIGITS = 4
_ID_DIGITS = 8


class RecordingWriter:
    """Appends calls to one recording; may be used from several threads.

    Attributes:
        path: The file.
        calls: How many calls are in it.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        title: str = "",
        client: str = "",
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Create the file with its header, or continue the recording in it.

        Args:
            path: The file; its folder must exist.
            title: The title of a new recording.
            client: The command that makes the calls, for the header of a new recording.
            on_problem: Called with one line about each kind of problem, once, on the thread that has it.

        Raises:
            SessionError: The file cannot be written, another recorder writes it, or it is not a recording.
        """
        self.path = os.fspath(path)
        self.calls = 0
        self._on_problem = on_problem or (lambda _: None)
        self._problems: set[str] = set()
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._last = 0
        self._written: set[str] = set()
        self._overlong: set[str] = set()
        self._conversations = Conversations()
        self._header = _given(title=title, client=client)
        self._file: AppendedFile | None = self._opened()

    def add(self, request: CallRequest, reply: CallReply, **fields: Any) -> None:
        """Write a call. A failure to write is reported and raises nothing.

        Args:
            request: What was sent.
            reply: What was received.
            fields: Further fields of the call's row, such as `api` and `timestamp`; empty ones are left out.

        Raises:
            ValueError: A number cannot be written as JSON.
            RecursionError: A value is nested too deeply.
        """
        with self._lock:
            try:
                self._restart_if_lost()
                self._add(request, reply, fields)
            except SessionError as error:
                self.report(f"{error}; calls are missing in it", "not written")
            except OSError as error:
                self.report(f"{self.path}: cannot be written: {error.strerror}; calls are missing in it", "not written")

    def report(self, problem: str, kind: str = "") -> None:
        """Tell of a problem, unless one of its kind was told before.

        Args:
            problem: One line.
            kind: Its kind; by default, only the same line is of its kind.
        """
        if (kind or problem) not in self._problems:
            self._problems.add(kind or problem)
            self._on_problem(problem)

    def close(self) -> None:
        """Close the file. Calls that end later are reported as missing."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _opened(self) -> AppendedFile:
        file = AppendedFile(self.path)
        try:
            self._begin(file)
        except BaseException:
            file.close()
            raise
        return file

    def _begin(self, file: AppendedFile) -> None:
        lines = file.read()
        if (first := next(lines, None)) is not None:
            self._continue(first, lines)
            return
        stem = os.path.basename(self.path).partition(".")[0]  # noqa: PTH119 - pathlib is not imported for this
        name = stem if _NAME.fullmatch(stem) else new_name(_ID_DIGITS)
        try:
            file.append(encoded({"type": "recording", "version": RECORDING_VERSION, "id": name, **self._header}))
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _restart_if_lost(self) -> None:
        """Begin again if lines that later calls would name are no longer in the file."""
        if self._file is None or not (lost := self._file.lost):
            return
        self.report(f"{self.path} was {lost} while it was written: a new recording begins there")
        self._file.close()
        self._file = None
        self.calls = 0
        self._written.clear()
        self._overlong.clear()
        self._conversations = Conversations()
        self._file = self._opened()

    def _continue(self, header: bytes, lines: Iterator[bytes]) -> None:
        """Note what the file holds already."""
        given = _decoded(header)
        if (given.get("type"), given.get("version")) != ("recording", RECORDING_VERSION):
            raise SessionError(f"{self.path}: not a recording of version {RECORDING_VERSION}; choose another file")
        for row in map(_decoded, lines):
            match row:
                case {"type": "message" | "tools", "id": str(name)}:
                    self._written.add(name)
                case {"type": "call", "id": str(name), "prompt": list(prompt)}:
                    self.calls += 1
                    number = _CALL_ID.match(name)
                    self._last = max(self._last, int(number[1]) if number else 0)
                    self._remember(prompt, row)

    def _add(self, request: CallRequest, reply: CallReply, fields: Mapping[str, Any]) -> None:
        before = self._conversations.before(request.previous)
        sent = [self._message(message) for message in request.messages]
        prompt = [*sent[: request.own], *before.messages, *sent[request.own :]]
        answer = without_unfinished_call(reply.message) if reply.message and reply.status == "cut" else reply.message
        response = self._response(answer, prompt) if answer else ""
        tools = self._tools(request.tools)
        missing = bool(request.missing) or not before.whole or not self._overlong.isdisjoint({*prompt, tools})
        row = {
            "prompt": prompt,
            **_given(tools=tools, response=response),
            "status": reply.status,
            **_given(usage=reply.usage, stop=reply.stop, hosted_tools=list(request.hosted)),
            **_given(choices=request.choices if request.choices > 1 else 0, incomplete=missing),
            **_given(response_id=reply.id if fields.get("api") == _STORING_API else "", own=request.own),
        }
        named = _given(**fields, model=reply.model or request.model)
        self._append(encoded({"type": "call", "id": self._next_id(), **named, **row}))
        self.calls += 1
        self._remember(prompt, row)

    def _next_id(self) -> str:
        """Return the next call's id, which is not used again even if the call cannot be written.

        A process that was forked from the recorder's has ids of its own.
        """
        self._last += 1
        process = os.getpid()
        return f"c{self._last}" + (f"-{process}" if process != self._process else "")

    def _remember(self, prompt: Sequence[str], row: Mapping[str, Any]) -> None:
        """Keep the conversation that a call's response ends; its own instructions are not part of it."""
        answer, response, own = row.get("response_id"), row.get("response"), row.get("own", 0)
        if isinstance(answer, str) and isinstance(response, str) and type(own) is int:
            whole = not row.get("incomplete")
            self._conversations.add(answer, Conversation([*prompt[own:], response], whole))

    def _response(self, message: Message, prompt: Sequence[str]) -> str:
        """Write a response, by another id where the prompt holds the same message."""
        name = content_id("m", message)
        for number in range(2, len(prompt) + 3):
            if name not in prompt:
                break
            name = f"{content_id('m', message)}-{number}"
        return self._write(name, {"type": "message", "id": name, **message})

    def _message(self, message: Message) -> str:
        name = content_id("m", message)
        return self._write(name, {"type": "message", "id": name, **message})

    def _tools(self, tools: Sequence[Mapping[str, Any]]) -> str:
        if not tools:
            return ""
        name = content_id("t", list(tools))
        return self._write(name, {"type": "tools", "id": name, "tools": list(tools)})

    def _write(self, name: str, row: Mapping[str, Any]) -> str:
        if name not in self._written:
            line = encoded(row)
            if len(line) > LINE_LIMIT:
                line = _placeholder(row, len(line))
                self._overlong.add(name)
            self._append(line)
            self._written.add(name)
        return name

    def _append(self, line: bytes) -> None:
        if self._file is None:
            raise OSError(None, "the recording is closed")
        self._file.append(line)


def new_recording(folder: Path) -> Path:
    """Create the file of a new recording, `YYYY-MM-DD-HHMMSS-xxxx.jsonl`, and return its path.

    Args:
        folder: The recordings folder; it is created if it does not exist, readable by its owner alone.

    Raises:
        SessionError: It cannot be created.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = folder / f"{new_name(_NAME_DIGITS)}.jsonl"
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise SessionError(f"{folder}: no recording can be created there: {error.strerror}") from error


def _placeholder(row: Mapping[str, Any], size: int) -> bytes:
    """Return a line that says that a row is not there, because no reader would take a line of its length."""
    if row["type"] == "tools":
        return encoded({**row, "tools": []})
    return encoded({**row, "content": [{"type": "opaque", "kind": "overlong text", "bytes": size}]})


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
