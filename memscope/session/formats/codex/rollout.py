"""Codex rollouts: `rollout-*.jsonl`, one file per session, append-only.

The items that the model writes between two inputs are one response, and its prompt is the history at that point: what
the file holds since its beginning or since the last compaction, without turns that were rolled back. The definitions
of the tools are not in rollouts, so that a session is always reconstructed.

Memories: an AGENTS.md file, the sections of the memory summary in the developer's instructions, and each memory file
that a tool reads. The memories that an answer cites (`<oai-mem-citation>`) are kept with its call.

The last response is kept back until the next row, or the end of the file, shows that it is complete.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.apis.parts import as_text
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.builder import SessionBuilder
from memscope.session.formats.codex.citations import citations, cited_keys
from memscope.session.formats.codex.items import (
    CodexMemories,
    input_message,
    is_item,
    is_setting,
    is_written,
    written_parts,
)
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.formats.memory_files import title_of
from memscope.session.formats.skipped import skipped_lines
from memscope.session.nodes import Session
from memscope.session.positions import Positions
from memscope.session.timestamps import is_timestamp
from memscope.terminal.counts import counted

__all__ = ["FORMAT", "CodexReader"]

_ROWS = ("session_meta", "response_item", "turn_context", "compacted", "event_msg")
_END_OF_RESPONSE = ("token_count", "task_complete", "turn_complete", "turn_aborted")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message in the history: its position, and whether it is a user's turn or one of the agent's settings."""

    position: int
    is_user: bool = False
    is_setting: bool = False


class _History:
    """The messages that the next prompt consists of.

    Attributes:
        entries: The messages in order.
        positions: Their positions.
    """

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.positions = Positions()

    def append(self, entry: _Entry) -> None:
        """Add a message at the end."""
        self.entries.append(entry)
        self.positions = self.positions.extended((entry.position,))

    def replace(self, entries: Iterable[_Entry]) -> None:
        """Take other messages."""
        self.entries = list(entries)
        self.positions = Positions(entry.position for entry in self.entries)


@dataclass(slots=True)
class _OpenResponse:
    """The items of a response that may not be complete."""

    id: str
    where: str
    stamp: str | None
    parts: list[dict[str, Any]]


class CodexReader:
    """Reads one rollout."""

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        """Create a reader for the file with this name."""
        self._name = name
        self._lines = LineReader(name, skip_blank=True, on_invalid=self._count_unreadable)
        self._builder = SessionBuilder(name, FORMAT_NAME, new_detector(), search_results_only=True)
        self._memories = CodexMemories()
        self._history = _History()
        self._entries: dict[bytes, _Entry] = {}
        self._open: _OpenResponse | None = None
        self._skipped: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._id = self._model = self._title = self._prompt = ""
        self._has_system = False
        self._number = self._unreadable = self._rebuilt = self._unknown_citations = 0

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._take(self._lines.feed(data))

    def finish(self) -> None:
        """See `SessionReader.finish`."""
        self._take(self._lines.finish())
        self._close()

    def session(self) -> Session:
        """See `SessionReader.session`."""
        place = f"{self._id}\0{os.path.realpath(self._name) if self._name else ''}"
        digest = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        model = next((name for name, _ in self._models.most_common(1)), "")
        title = self._title or self._prompt or PurePath(self._name).stem
        folder = {"cwd": self._memories.folder} if self._memories.folder else {}
        session = self._builder.session(id=f"codex-{digest}", title=title, model=model, whole=False, extra=folder)
        source = session.source
        source = msgspec.structs.replace(source, notes=(*self._notes(), *source.notes))
        return msgspec.structs.replace(session, source=source)

    def _count_unreadable(self, _: SessionError) -> None:
        self._unreadable += 1

    def _take(self, lines: Iterable[JsonLine]) -> None:
        for line in lines:
            self._number += 1
            row = line.value if isinstance(line.value, dict) else {}
            kind, payload = row.get("type"), row.get("payload")
            if is_item(row):  # older rollouts have items without an envelope
                self._item(row, row, line.where)
            elif kind in _ROWS and isinstance(payload, dict):
                self._row(str(kind), payload, row, line.where)
            elif kind is None and "id" in row and "timestamp" in row:
                self._meta(row, line.where)
            elif "record_type" not in row:
                self._skipped[f"{kind} row" if isinstance(kind, str) else "untyped row"] += 1

    def _row(self, kind: str, payload: Mapping[str, Any], row: Mapping[str, Any], where: str) -> None:
        match kind:
            case "response_item":
                self._item(payload, row, where)
            case "session_meta":
                self._meta(payload, where)
            case "turn_context":
                self._close()
                self._model = as_text(payload.get("model")) or self._model
                self._memories.folder = self._memories.folder or as_text(payload.get("cwd"))
            case "compacted":
                self._compact(payload, where)
            case _:
                self._event(payload)

    def _meta(self, payload: Mapping[str, Any], where: str) -> None:
        self._id = self._id or as_text(payload.get("id"))
        self._memories.folder = self._memories.folder or as_text(payload.get("cwd"))
        base = payload.get("base_instructions")
        text = base.get("text") if isinstance(base, dict) else base
        if isinstance(text, str) and text and not self._has_system:
            self._has_system = True
            position = self._builder.message({"role": "system", "content": text}, where, section="system")
            self._history.replace([_Entry(position, is_setting=True), *self._history.entries])

    def _event(self, payload: Mapping[str, Any]) -> None:
        kind = payload.get("type")
        if kind in _END_OF_RESPONSE:
            self._close()
        elif kind == "thread_name_updated":
            self._title = as_text(payload.get("thread_name")) or self._title
        elif kind == "thread_rolled_back" and isinstance(turns := payload.get("num_turns"), int):
            self._roll_back(turns)

    def _item(self, item: Mapping[str, Any], row: Mapping[str, Any], where: str) -> None:
        if not is_item(item):
            self._skipped[f"{item.get('type')} item"] += 1
        elif is_written(item):
            self._write(item, row, where)
        else:
            self._close()
            self._history.append(self._read(item, where))

    def _write(self, item: Mapping[str, Any], row: Mapping[str, Any], where: str) -> None:
        if self._open is None:
            stamp = as_text(row.get("timestamp"))
            self._open = _OpenResponse(f"row {self._number}", where, stamp if is_timestamp(stamp) else None, [])
        parts = written_parts(item)
        self._open.parts += parts
        for part in parts:
            self._memories.watch(part)

    def _close(self) -> None:
        """Add the open response, if there is one: no more of it can follow."""
        made, self._open = self._open, None
        if made is None:
            return
        message: dict[str, Any] = {"role": "assistant", "content": made.parts}
        if made.stamp:
            message["timestamp"] = made.stamp
        position = self._builder.message(message, made.where)
        self._builder.call(
            id=made.id,
            prompt=self._history.positions,
            response=position,
            model=self._model,
            timestamp=made.stamp,
            api="openai-responses",
            cited=self._cited(made),
        )
        self._models[self._model] += bool(self._model)
        self._history.append(_Entry(position))

    def _cited(self, response: _OpenResponse) -> tuple[str, ...]:
        texts = (part["text"] for part in response.parts if part["type"] == "text")
        keys, unknown = cited_keys((found for text in texts for found in citations(text)), self._memories.keys)
        self._unknown_citations += unknown
        return keys

    def _read(self, item: Mapping[str, Any], where: str) -> _Entry:
        """Add an item that the model reads."""
        message = input_message(item, self._memories)
        setting = is_setting(message)
        is_user = message["role"] == "user" and not setting
        if is_user and not self._prompt:
            self._prompt = title_of(message["content"])
        entry = _Entry(self._builder.message(message, where), is_user, setting)
        self._entries[msgspec.json.encode(item)] = entry
        return entry

    def _compact(self, payload: Mapping[str, Any], where: str) -> None:
        """Replace the history by what the compaction kept, or by what it usually keeps if the file does not say."""
        self._close()
        before, replacement = self._history.entries, payload.get("replacement_history")
        if isinstance(replacement, list):
            self._history.replace(before[: 1 if self._has_system else 0])
            for item in filter(is_item, replacement):
                self._history.append(self._kept(item, where))
            return
        self._rebuilt += 1
        self._history.replace([entry for entry in before if entry.is_setting or entry.is_user])
        summary = {"type": "message", "role": "user", "content": as_text(payload.get("message"))}
        self._history.append(self._read(summary, where))

    def _kept(self, item: Mapping[str, Any], where: str) -> _Entry:
        """Return the message of an item that a compaction kept: the earlier one of the same item, if there is one."""
        if is_written(item):
            return _Entry(self._builder.message({"role": "assistant", "content": written_parts(item)}, where))
        entry = self._entries.get(msgspec.json.encode(item))
        return self._read(item, where) if entry is None or entry in self._history.entries else entry

    def _roll_back(self, turns: int) -> None:
        self._close()
        starts = [place for place, entry in enumerate(self._history.entries) if entry.is_user]
        if turns > 0 and starts:
            self._history.replace(self._history.entries[: starts[max(0, len(starts) - turns)]])

    def _notes(self) -> Iterator[str]:
        yield "the definitions of the tools are not in the file"
        if not self._has_system:
            yield "the system prompt is not in the file"
        if self._rebuilt:
            yield f"{counted(self._rebuilt, 'compaction')} without the history that followed: the user's messages kept"
        if self._unknown_citations:
            yield f"{counted(self._unknown_citations, 'citation')} of memories that are not in the file"
        if self._unreadable:
            yield f"{counted(self._unreadable, 'line')} skipped: not JSON"
        yield from skipped_lines(self._skipped)


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"type": str(kind), "payload": {}}:
            return kind in _ROWS
        case {"id": str(), "timestamp": str(), "instructions": _} | {"id": str(), "timestamp": str(), "git": _}:
            return "type" not in head.first
    return False


FORMAT_NAME = "codex"
FORMAT = SessionFormat(
    name=FORMAT_NAME,
    expected="rows of a Codex rollout",
    appends=True,
    recognises=_recognises,
    reader=CodexReader,
)
