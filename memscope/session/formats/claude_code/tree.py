"""The rows of a Claude Code transcript as a tree: which row follows which, and which rows are one response.

Rows name their parent, and a file may hold several branches: after the user went back to an earlier prompt, and for
sub-agents. The rows of one response have the id of one API message; its tool calls may be answered before its last
row is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import as_text
from memscope.session.formats.claude_code.rows import (
    PRIVATE_ATTACHMENTS,
    FileMemory,
    Results,
    Snapshot,
    attachment_parts,
    prompt_snapshot,
    response_parts,
    user_parts,
)
from memscope.session.formats.memory_files import title_of
from memscope.session.positions import Positions
from memscope.session.timestamps import is_timestamp

__all__ = ["Input", "Response", "Row", "TranscriptTree"]

_TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
"""The field with the title in rows that hold one, the most specific kind first."""
_ERROR_MODEL = "<synthetic>"


@dataclass(slots=True)
class Input:
    """What a row adds to the prompt: texts and memory files, and results of tools by the id of their call."""

    number: int
    parts: list[Part | FileMemory]
    results: Results = field(default_factory=dict)
    is_instructions: bool = False


@dataclass(slots=True)
class Response:
    """A response, from the rows with the id of one API message.

    Attributes:
        id: Its identity: the id of its first row.
        message: The id of the API message; "" if the row has none.
        number: The number of its first row.
        parent: The id of the row before it.
        thread: The id of the sub-agent it belongs to; "" for the main conversation.
        results: The results of its tool calls so far, and the numbers of their rows, by the id of the call.
        stop: Why the model stopped, if its last row says so; else "".
        prompt: Positions of its prompt's messages, once it was placed.
        system: How many of them are the system prompt.
        position: Position of the response's own message, once it was placed.
    """

    id: str
    message: str
    number: int
    parent: str | None
    thread: str
    model: str
    stamp: str | None
    where: str
    parts: list[Part] = field(default_factory=list)
    results: dict[str, tuple[int, list[Part]]] = field(default_factory=dict)
    stop: str = ""
    prompt: Positions = field(default_factory=Positions)
    system: int = 0
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tree; `cuts` means that nothing before it is in the prompts after it."""

    parent: str | None
    input: Input | None = None
    response: Response | None = None
    cuts: bool = False


class TranscriptTree:
    """Collects the rows of one file.

    Attributes:
        rows: The rows by id.
        responses: The responses in order of their first rows.
        skipped: What was skipped, by kind.
        snapshots: The system prompts of each thread with the numbers of their rows, in order.
        instructions: The inputs with instruction files of each thread, in order.
        private: How many attachments with account data were left out.
        session: The session's id in the file.
        folder: The agent's working folder.
        outdated: Whether a row changed what was already used: a placed response, or its prompt.
    """

    def __init__(self) -> None:
        """Create an empty tree."""
        self.rows: dict[str, Row] = {}
        self.responses: list[Response] = []
        self.skipped: Counter[str] = Counter()
        self.snapshots: dict[str, list[tuple[int, Snapshot]]] = {}
        self.instructions: dict[str, list[Input]] = {}
        self._main: str | None = None
        self.private = 0
        self.session = self.folder = ""
        self.outdated = False
        self._texts: dict[str, str] = {}
        self._titles: dict[str, str] = {}
        self._prompt = ""
        self._calls: dict[str, Response] = {}
        self._open: dict[str, Response] = {}
        self._missing: set[str] = set()
        self._number = 0
        self._last: str | None = None
        self._last_response: Response | None = None

    @property
    def title(self) -> str:
        """The title of the conversation, or the beginning of its first prompt; "" without either."""
        return next((self._titles[kind] for kind in _TITLES if kind in self._titles), self._prompt)

    @property
    def unfinished(self) -> Response | None:
        """The response that the last row belongs to, unless that row says why the model stopped."""
        last = self._last_response
        return None if last is None or last.stop else last

    def is_main(self, thread: str) -> bool:
        """Return whether a thread is the one of the first row: a sub-agent may have a file of its own."""
        return thread == (self._main or "")

    def missing(self, parent: str) -> None:
        """Remember that a row names a parent that is not in the file so far."""
        self._missing.add(parent)

    def take(self, row: Any, where: str) -> None:
        """Add the next row.

        Args:
            row: The decoded row.
            where: File and line, for errors.
        """
        self._number += 1
        self._last_response = None
        kind = row.get("type") if isinstance(row, dict) else None
        if not isinstance(kind, str):
            self.skipped["untyped row"] += 1
            return
        if kind in _TITLES:
            self._take_title(kind, row)
            return
        self.session = self.session or as_text(row.get("sessionId"))
        self.folder = self.folder or as_text(row.get("cwd"))
        name = as_text(row.get("uuid")) or f"row {self._number}"
        if name in self.rows:
            self.skipped["repeated row"] += 1
            return
        if self._main is None and "parentUuid" in row:
            self._main = _thread(row)
        self._add(name, self._row(kind, row, name, self._parent(row), where))

    def _parent(self, row: Mapping[str, Any]) -> str | None:
        """Return the row before a row, without the rows in between that add nothing to a prompt."""
        name = row.get("parentUuid", self._last)
        if not isinstance(name, str):
            return None
        before = self.rows.get(name)
        adds_nothing = before is not None and not (before.input or before.response or before.cuts)
        return before.parent if before is not None and adds_nothing else name

    def _add(self, name: str, row: Row) -> None:
        self.rows[name] = row
        self.outdated |= name in self._missing
        if row.input or row.response:
            self._last = name

    def _row(self, kind: str, row: Mapping[str, Any], name: str, parent: str | None, where: str) -> Row:
        message = row.get("message")
        if kind == "assistant" and isinstance(message, dict):
            return self._assistant(row, message, name, parent, where)
        if kind == "user" and isinstance(message, dict):
            return Row(parent, self._user(row, message), cuts=row.get("isCompactSummary") is True)
        if kind == "attachment" and isinstance(attachment := row.get("attachment"), dict):
            return Row(parent, self._attachment(row, attachment))
        if kind == "system" and row.get("subtype") == "compact_boundary":
            return Row(None, cuts=True)
        if kind == "system" and row.get("subtype") == "local_command" and as_text(row.get("content")):
            return Row(parent, self._user(row, row))
        self.skipped[f"{kind} row"] += 1
        return Row(parent)

    def _take_title(self, kind: str, row: Mapping[str, Any]) -> None:
        if title := as_text(row.get(_TITLES[kind])):
            self._titles[kind] = title

    def _user(self, row: Mapping[str, Any], message: Mapping[str, Any]) -> Input:
        parts, results = user_parts(message)
        for call, result in results.items():
            if call in self._calls:
                self._calls[call].results.setdefault(call, (self._number, result))
        if not self._prompt and row.get("isMeta") is not True and self.is_main(_thread(row)):
            self._prompt = title_of(parts)
        return Input(self._number, [*parts], results)

    def _attachment(self, row: Mapping[str, Any], attachment: Mapping[str, Any]) -> Input | None:
        kind, thread = str(attachment.get("type")), _thread(row)
        if kind in PRIVATE_ATTACHMENTS:
            self.private += 1
            return None
        if kind == "prompt_snapshot":
            self._take_snapshot(thread, prompt_snapshot(attachment))
            return None
        parts = attachment_parts(attachment)
        if parts is None:
            self.skipped[f"{kind} attachment"] += 1
            return None
        known = [self._with_text(part) if isinstance(part, FileMemory) else part for part in parts]
        made = Input(self._number, known, is_instructions=kind == "instructions")
        if made.is_instructions:
            self.instructions.setdefault(thread, []).append(made)
        return made

    def _with_text(self, file: FileMemory) -> FileMemory:
        """Return a file with the text that an earlier attachment has, if this one has only its path."""
        if file.text is not None:
            self._texts[file.path] = file.text
            return file
        return replace(file, text=self._texts.get(file.path))

    def _take_snapshot(self, thread: str, snapshot: Snapshot) -> None:
        """Add a system prompt; responses before the first one have it too, because it is written when it is known."""
        first = thread not in self.snapshots
        self.outdated |= first and any(r.position is not None and r.thread == thread for r in self.responses)
        self.snapshots.setdefault(thread, []).append((self._number, snapshot))

    def _assistant(
        self, row: Mapping[str, Any], message: Mapping[str, Any], name: str, parent: str | None, where: str
    ) -> Row:
        if row.get("isApiErrorMessage") is True or message.get("model") == _ERROR_MODEL:
            self.skipped["API error message"] += 1
            return Row(parent)
        response = self._response(row, message, name, parent, where)
        parts = response_parts(message)
        response.parts += parts
        response.stop = as_text(message.get("stop_reason"))
        self._calls |= {part["id"]: response for part in parts if part["type"] == "tool_call"}
        self.outdated |= response.position is not None
        self._last_response = response
        return Row(parent, response=response)

    def _response(
        self, row: Mapping[str, Any], message: Mapping[str, Any], name: str, parent: str | None, where: str
    ) -> Response:
        """Return the response that a row continues, or a new one."""
        sent, thread = as_text(message.get("id")), _thread(row)
        before = self._open.get(thread)
        if before is not None and sent and before.message == sent and self._continues(before, parent):
            return before
        made = Response(name, sent, self._number, parent, thread, as_text(message.get("model")), _stamp(row), where)
        self._open[thread] = made
        self.responses.append(made)
        return made

    def _continues(self, response: Response, parent: str | None) -> bool:
        """Return whether only rows of a response, or results of its calls, lie between it and a row's parent."""
        seen: set[str] = set()
        while parent is not None and parent not in seen and (row := self.rows.get(parent)) is not None:
            if row.response is not None:
                return row.response is response
            if row.cuts or (row.input is not None and (row.input.parts or not row.input.results)):
                return False
            seen.add(parent)
            parent = row.parent
        return False


def _stamp(row: Mapping[str, Any]) -> str | None:
    stamp = as_text(row.get("timestamp"))
    return stamp if is_timestamp(stamp) else None


def _thread(row: Mapping[str, Any]) -> str:
    """Return the id of a row's sub-agent; "" for the main conversation."""
    if row.get("isSidechain") is not True:
        return ""
    return as_text(row.get("agentId")) or "sidechain"
