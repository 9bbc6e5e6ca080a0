"""The records of Gemini CLI's session files, and the state that they add up to.

A file holds messages, each written again whenever it changes, so the last record of an id counts. `$rewindTo` takes
back a message and all after it; `$set` changes the metadata, and with `messages` replaces the history, for example by a
summary. A response has the prompt that preceded it when it first appeared, so what was taken back stays a thread of its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import as_dict, as_text, opaque, tool_call, tool_result
from memscope.session.formats.base import NewDetector
from memscope.session.formats.fields import Fields, checked_messages, field_error
from memscope.session.formats.gemini.contents import content_parts, turn_messages
from memscope.session.formats.gemini.memory import context_files, file_parts
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session
from memscope.session.timestamps import as_timestamp

__all__ = ["GeminiRecords"]

Record = Mapping[str, Any]


class GeminiRecords:
    """Applies records one by one and builds the session of the state they lead to."""

    def __init__(self, name: str, format_name: str, new_detector: NewDetector, project: Path | None = None) -> None:
        """Create an empty state.

        Args:
            name: The file name, for error messages.
            format_name: The name of the file's format.
            new_detector: Creates the memory detector.
            project: The project's folder, to read GEMINI.md files from.
        """
        self._name, self._format, self._new_detector = name, format_name, new_detector
        self._project = project
        self._disk = list(context_files(project, Path(name))) if project else []
        self._metadata: dict[str, Any] = {}
        self._history: dict[str, tuple[str, Record]] = {}
        self._past: list[tuple[tuple[str, Record], ...]] = []
        self._unknown = 0
        self._unreadable = 0

    def skip_invalid(self) -> None:
        """Count a line that is not JSON: Gemini CLI goes past one as well, such as that of a killed process."""
        self._unreadable += 1

    def take(self, record: Any, where: str) -> None:
        """Apply the next record.

        Raises:
            SessionError: It is not an object, or a field has a wrong type.
        """
        match record:
            case {"$rewindTo": str(message)}:
                self._rewind(message)
            case {"$set": dict(changed)}:
                self._set(changed, where)
            case {"id": str(), "type": str()}:
                self._history[record["id"]] = (where, record)
            case {"sessionId": str()}:
                self._set(record, where)
            case dict():
                self._unknown += 1
            case _:
                raise field_error(where, "", "a JSON object", record)

    def session(self) -> Session:
        """Return the session of the records applied so far."""
        transcript = Transcript(self._name, self._format, self._new_detector)
        writer = _Writer(transcript, self._system(transcript))
        for history in (*self._past, tuple(self._history.values())):
            writer.write(history)
        for kind, count in (("unknown row", self._unknown), ("unreadable line", self._unreadable)):
            if count:
                transcript.builder.skip(kind, count)
        return transcript.session(
            begins=self._metadata.get("sessionId"),
            title=as_text(self._metadata.get("summary")),
            whole=False,
            from_disk=[path for path, _ in self._disk],
        )

    def _system(self, transcript: Transcript) -> list[int]:
        """Add what is known of the system prompt, and return its position if there is anything."""
        note = transcript.builder.note
        note("the system prompt is not in the file")
        if self._project is None or not self._disk:
            note(f"no GEMINI.md in {self._project}" if self._project else "--project DIR reads GEMINI.md from disk")
            return []
        project, new_detector = self._project, self._new_detector
        content = [part for path, text in self._disk for part in file_parts(path, text, project, new_detector)]
        return [transcript.add({"role": "system", "content": content}, str(self._project))]

    def _rewind(self, message: str) -> None:
        """Take back a message and all after it; everything if it is unknown, as Gemini CLI does."""
        self._keep_past()
        ids = list(self._history)
        kept = ids[: ids.index(message)] if message in self._history else []
        self._history = {id_: self._history[id_] for id_ in kept}

    def _set(self, changed: Record, where: str) -> None:
        self._metadata |= changed
        messages = self._metadata.pop("messages", None)
        if messages is None:
            return
        messages = checked_messages(messages, where)
        self._keep_past()
        self._history = {}
        for number, message in enumerate(messages):
            fields = Fields(message, f"{where}: message {number}")
            self._history[fields.text("id", empty=False)] = (f"{where}: message {number}", message)

    def _keep_past(self) -> None:
        if self._history:
            self._past.append(tuple(self._history.values()))


class _Writer:
    """Adds histories to a transcript, what they share once."""

    def __init__(self, transcript: Transcript, system: Sequence[int]) -> None:
        self._transcript = transcript
        self._system = system
        self._answered: set[str] = set()
        self._unsent: set[str] = set()

    def write(self, history: Sequence[tuple[str, Record]]) -> None:
        results = {id_ for _, record in history for id_ in _ids(record.get("content"), "functionResponse")}
        prompt = list(self._system)
        for where, record in history:
            kind = record.get("type")
            if kind == "gemini":
                prompt += self._turn(record, where, prompt, results)
            elif kind == "user":
                prompt += self._added(record, where, turn_messages("user", _content(record, where)))
            elif record["id"] not in self._unsent:
                self._unsent.add(record["id"])
                self._transcript.builder.skip(f"{kind} message")

    def _turn(self, record: Record, where: str, prompt: Sequence[int], results: set[str]) -> list[int]:
        """Add what a model wrote, or Gemini CLI in its name: such a record has no model, and is no response."""
        positions = self._added(record, where, _turn(record, where, results))
        model = record.get("model")
        if positions and isinstance(model, str) and record["id"] not in self._answered:
            self._answered.add(record["id"])
            self._transcript.call(
                record["id"],
                prompt=prompt,
                response=positions[0],
                model=model,
                timestamp=as_timestamp(record.get("timestamp")),
            )
        return positions

    def _added(self, record: Record, where: str, messages: Iterable[Part]) -> list[int]:
        stamp = as_timestamp(record.get("timestamp"))
        stamped = {"timestamp": stamp} if stamp else {}
        return [self._transcript.add_once(message | stamped, where, model=record.get("model")) for message in messages]


def _content(record: Record, where: str) -> list[Part]:
    return list(content_parts(record.get("content"), where))


def _turn(record: Record, where: str, results: set[str]) -> Iterator[Part]:
    """Yield the response of a record, and the results of its calls unless the history holds them as messages."""
    calls = _tool_calls(record, where)
    said = set(_ids(record.get("content"), "functionCall"))
    parts = [*_thoughts(record), *_content(record, where)]
    parts += [
        tool_call(call.get("id"), call["name"], call.get("args"))
        for call in calls
        if as_text(call.get("id")) not in said
    ]
    if not any(part["type"] != "opaque" for part in parts):
        return
    yield {"role": "assistant", "content": parts}
    answers = [part for call in calls if as_text(call.get("id")) not in results for part in _result(call, where)]
    yield from turn_messages("tool", answers)


def _thoughts(record: Record) -> Iterator[Part]:
    """Yield the summaries of the model's thoughts, which are not its own words, as opaque parts."""
    thoughts = record.get("thoughts")
    for thought in thoughts if isinstance(thoughts, list) else []:
        yield opaque(as_dict(thought), "thought summary")


def _tool_calls(record: Record, where: str) -> list[Record]:
    calls = record.get("toolCalls")
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise field_error(where, "toolCalls", "a list of calls", calls)
    for number, call in enumerate(calls):
        Fields(call, where, f"toolCalls[{number}].").text("name", empty=False)
    return calls


def _result(call: Record, where: str) -> Iterator[Part]:
    for part in content_parts(call.get("result"), where, "toolCalls.result"):
        yield tool_result(call.get("id"), part["text"]) if part["type"] in ("text", "tool_result") else part


def _ids(content: Any, kind: str) -> Iterator[str]:
    for part in content if isinstance(content, list) else []:
        match part:
            case {"functionCall": {"id": str(found)}} if kind == "functionCall":
                yield found
            case {"functionResponse": {"id": str(found)}} if kind == "functionResponse":
                yield found
