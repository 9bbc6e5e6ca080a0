"""Claude Code transcripts: JSON Lines, one file per session, append-only.

The prompt of a response is the chain of rows before it, by parent and not by file order, back to the last compaction.
Rows between two responses are one turn: the results of tools, then everything else as one user message. The system
prompt and the tools are those of the last `prompt_snapshot` before the response.

Memories, one per file: the files of `instructions` and `nested_memory` attachments, each item of `relevant_memories`,
and what a hook adds, unless a memory rule finds memories in it. Attachments are shown in reminders; their exact frame
is not in the file. Tool results are searched for memories only where they answer a memory search. In older files,
which lack the memory files, `--project` reads them from disk.

The last response is kept back until the next row, or the end of the file, shows that it is complete.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any, TypeVar

import msgspec

from memscope.errors import SessionError
from memscope.session.apis import parts
from memscope.session.apis.base import Part, status_of
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.builder import SessionBuilder
from memscope.session.formats.claude_code.rows import FileMemory, Snapshot
from memscope.session.formats.claude_code.tree import Input, Response, TranscriptTree
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.formats.memory_files import file_part, files_on_disk, joined, text_on_disk
from memscope.session.formats.skipped import skipped_lines
from memscope.session.nodes import Session, SourceContext
from memscope.session.positions import Positions
from memscope.session.rules.agent_files import RULE as AGENT_FILES
from memscope.terminal.counts import counted

__all__ = ["FORMAT", "ClaudeCodeReader"]

_T = TypeVar("_T")

_HEAD_BYTES, _HEAD_LINES = 2**16, 16
"""How much of a file may precede the first row that shows what it is: some rows have no more than a type."""


@dataclass(slots=True)
class _Segment:
    """The rows between a response and the one before it.

    Attributes:
        inputs: What they add to the prompt, in order.
        before: The response before them; None at the beginning of a prompt.
        after_cut: Whether a compaction precedes them.
        is_orphan: Whether the row before them is not in the file.
        is_circle: Whether the rows before them are each other's parents.
    """

    inputs: list[Input] = field(default_factory=list)
    before: Response | None = None
    after_cut: bool = False
    is_orphan: bool = False
    is_circle: bool = False


@dataclass(slots=True)
class _Built:
    """What was made of the tree so far, and what was missing in it."""

    builder: SessionBuilder
    placed: int = 0
    systems: dict[str, int] = field(default_factory=dict)
    turns: dict[tuple[Any, ...], int] = field(default_factory=dict)
    from_disk: dict[str, None] = field(default_factory=dict)
    without_text: dict[str, None] = field(default_factory=dict)
    models: Counter[str] = field(default_factory=Counter)
    orphans: int = 0
    circles: int = 0
    without_system: int = 0
    side_without_system: int = 0
    side_responses: int = 0


class ClaudeCodeReader:
    """Reads one transcript."""

    def __init__(self, name: str, new_detector: NewDetector, project: Path | None = None) -> None:
        """Create a reader.

        Args:
            name: The file name.
            new_detector: Creates the memory detector.
            project: The project's folder, to read memory files from that are not in the transcript.
        """
        self._name = name
        self._new_detector = new_detector
        self._project = project
        self._unreadable = 0
        self._lines = LineReader(name, skip_blank=True, on_invalid=self._count_unreadable)
        self._tree = TranscriptTree()
        self._finished = False
        self._disk = list(files_on_disk(project, Path(name))) if project else []
        self._built = self._empty()

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._take(self._lines.feed(data))

    def finish(self) -> None:
        """See `SessionReader.finish`."""
        self._take(self._lines.finish())
        self._finished = True

    def session(self) -> Session:
        """See `SessionReader.session`."""
        if self._tree.outdated:
            self._start_again()
        self._place_responses()
        tree, built = self._tree, self._built
        model = next((name for name, _ in built.models.most_common(1)), "")
        title = tree.title or PurePath(self._name).stem
        session = built.builder.session(id=self._id(), title=title, model=model, extra=_folder(tree.folder))
        source, notes = session.source, (*self._notes(session.source.rules), *session.source.notes)
        source = msgspec.structs.replace(source, context=self._context(), notes=notes)
        return msgspec.structs.replace(session, source=source)

    def _take(self, lines: Iterable[JsonLine]) -> None:
        for line in lines:
            self._tree.take(line.value, line.where)

    def _count_unreadable(self, _: SessionError) -> None:
        self._unreadable += 1

    def _id(self) -> str:
        """Identify a transcript by its file too: files of sub-agents and resumed sessions share the session's id."""
        place = f"{self._tree.session}\0{os.path.realpath(self._name) if self._name else ''}"
        return f"claude-code-{hashlib.blake2b(place.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"

    def _empty(self) -> _Built:
        return _Built(SessionBuilder(self._name, FORMAT_NAME, self._new_detector(), search_results_only=True))

    def _start_again(self) -> None:
        """Forget what was built: a row changed something in the middle."""
        for response in self._tree.responses:
            response.prompt, response.position = Positions(), None
        self._tree.outdated = False
        self._built = self._empty()

    def _place_responses(self) -> None:
        built, responses = self._built, self._tree.responses
        kept_back = None if self._finished else self._tree.unfinished
        while built.placed < len(responses) and responses[built.placed] is not kept_back:
            self._place(responses[built.placed])
            built.placed += 1

    def _place(self, response: Response) -> None:
        """Add a response and its prompt, and first the responses before it that are later in the file."""
        waiting = [response]
        while waiting:
            segment = self._segment(waiting[-1])
            if segment.before in waiting:
                segment.before, segment.is_circle = None, True
            if segment.before is not None and segment.before.position is None:
                waiting.append(segment.before)
            else:
                self._add(waiting.pop(), segment)

    def _segment(self, response: Response) -> _Segment:
        segment, seen = _Segment(), set[str]()
        name = response.parent
        while name is not None and not segment.after_cut:
            row = self._tree.rows.get(name)
            if row is None:
                segment.is_orphan = True
                self._tree.missing(name)
                break
            if name in seen:
                segment.is_circle = True
                break
            if row.response is not None:
                segment.before = row.response
                break
            if row.input is not None:
                segment.inputs.append(row.input)
            seen.add(name)
            segment.after_cut, name = row.cuts, row.parent
        segment.inputs.reverse()
        return segment

    def _add(self, response: Response, segment: _Segment) -> None:
        built, before = self._built, segment.before
        snapshot = _at(self._tree.snapshots.get(response.thread, ()), response.number)
        system = self._system(snapshot, response.where)
        turn = tuple(self._turn(response, segment))
        if before is None or before.position is None:
            response.prompt = Positions((*system, *turn))
        elif before.prompt[: len(system)] == system and len(system) == before.system:
            response.prompt = before.prompt.extended((before.position, *turn))
        else:
            response.prompt = Positions((*system, *before.prompt[before.system :], before.position, *turn))
        response.system = len(system)
        message = {"role": "assistant", "content": response.parts}
        if response.stamp:
            message["timestamp"] = response.stamp
        response.position = built.builder.message(message, response.where)
        built.builder.call(
            id=response.id,
            prompt=response.prompt,
            response=response.position,
            tools=snapshot.tools if snapshot else (),
            model=response.model,
            timestamp=response.stamp,
            status="cut" if status_of(message, response.stop, ended=True) == "cut" else "complete",
            # What the agent sent between two responses may be missing: the second one is no continuation of the first.
            api="anthropic-messages" if turn or before is None else "",
        )
        built.models[response.model] += bool(response.model)
        is_main = self._tree.is_main(response.thread)
        built.side_responses += not is_main
        built.without_system += is_main and not system
        built.side_without_system += not is_main and not system
        built.orphans += segment.is_orphan
        built.circles += segment.is_circle

    def _system(self, snapshot: Snapshot | None, where: str) -> tuple[int, ...]:
        if snapshot is None or not snapshot.text:
            return ()
        if snapshot.text not in self._built.systems:
            message = {"role": "system", "content": snapshot.text}
            self._built.systems[snapshot.text] = self._built.builder.message(message, where, section="system")
        return (self._built.systems[snapshot.text],)

    def _turn(self, response: Response, segment: _Segment) -> Iterator[int]:
        """Yield the positions of the messages between two responses: the results of tools, then the rest."""
        answered = {call: found for call, found in _results(segment.before).items() if found[0] < response.number}
        for one in segment.inputs:
            answered |= {call: (one.number, result) for call, result in one.results.items() if call not in answered}
        if found := sorted(answered.values(), key=itemgetter(0)):
            message = {"role": "tool", "content": [part for _, result in found for part in result]}
            yield self._message(("results", *answered), message, response.where)
        inputs = [*self._carried(response, segment), *(one for one in segment.inputs if one.parts)]
        if content := [part for one in inputs for part in self._parts(one)]:
            message = {"role": "user", "content": joined(content)}
            yield self._message(tuple(one.number for one in inputs), message, response.where)

    def _message(self, key: tuple[Any, ...], message: dict[str, Any], where: str) -> int:
        """Return the position of a message, which branches share."""
        if key not in self._built.turns:
            self._built.turns[key] = self._built.builder.message(message, where)
        return self._built.turns[key]

    def _carried(self, response: Response, segment: _Segment) -> Iterator[Input]:
        """Yield the instruction files at the beginning of a prompt, which the agent sends again after a compaction."""
        if segment.before is not None or any(one.is_instructions for one in segment.inputs):
            return
        known = [(one.number, one) for one in self._tree.instructions.get(response.thread, ())]
        last = next((one for number, one in reversed(known) if number < response.number), None)
        if last is not None and segment.after_cut:
            yield last
        elif last is None and self._disk and self._tree.is_main(response.thread):
            yield Input(0, [FileMemory(path, text) for path, text in self._disk])
            self._built.from_disk |= {Path(path).name: None for path, _ in self._disk}

    def _parts(self, one: Input) -> Iterator[Part]:
        for part in one.parts:
            if not isinstance(part, FileMemory):
                yield from self._memories_in(part)
            elif (known := self._with_text(part)).text is not None:
                yield file_part(known.path, known.text or "", self._folder, known.heading)

    def _with_text(self, file: FileMemory) -> FileMemory:
        if file.text is not None:
            return file
        name = PurePath(file.path.replace("\\", "/")).name
        text = text_on_disk(Path(file.path)) if self._may_read(file.path) else None
        missing = self._built.without_text if text is None else self._built.from_disk
        missing[name] = None
        return replace(file, text=text)

    def _may_read(self, path: str) -> bool:
        """Return whether a file is in the project that the user named, or is one of the agent's memories of it."""
        if self._project is None or "\0" in path:
            return False
        places = (self._project, Path(self._name).resolve().parent)
        return any(Path(path).resolve().is_relative_to(place) for place in places)

    @property
    def _folder(self) -> str:
        return str(self._project) if self._project else self._tree.folder

    def _memories_in(self, part: Part) -> Sequence[Part]:
        """Return what a hook added as the memories that a rule finds in it, or else as the one memory that it is."""
        found = self._new_detector().split(part["text"], origin="user") if "memory" in part else []
        return [parts.text(text, key) for key, text in found] if any(key for key, _ in found) else [part]

    def _context(self) -> SourceContext:
        built = self._built
        if built.from_disk:
            return "from disk"
        missing = built.without_system or built.side_without_system or built.without_text
        missing = missing or built.orphans or built.circles or self._unreadable
        unknown = any(kind.endswith(" attachment") for kind in self._tree.skipped)
        return "reconstructed" if missing or unknown else "whole context"

    def _notes(self, found: Collection[str]) -> Iterator[str]:
        built, tree = self._built, self._tree
        if built.without_system:
            yield "the system prompt is not in the file"
        if not (tree.instructions or built.from_disk or AGENT_FILES.name in found):
            yield "CLAUDE.md and other memory files are not in the file: --project DIR reads them from disk"
        if built.without_text:
            yield f"the text of {', '.join(built.without_text)} is not in the file: --project DIR reads it from disk"
        if built.from_disk:
            yield f"{', '.join(built.from_disk)} read from disk, may have changed"
        if built.side_responses:
            unknown = ", whose system prompt is not in the file" if built.side_without_system else ""
            yield f"{counted(built.side_responses, 'response')} of sub-agents{unknown}"
        if built.orphans:
            yield f"{counted(built.orphans, 'prompt')} with an unknown beginning: a row's parent is not in the file"
        if built.circles:
            yield f"{counted(built.circles, 'prompt')} with an unknown beginning: rows are each other's parents"
        if tree.private:
            yield f"account data left out of {counted(tree.private, 'attachment')}"
        if self._unreadable:
            yield f"{counted(self._unreadable, 'line')} skipped: not JSON"
        yield from skipped_lines(tree.skipped)


def _at(found: Sequence[tuple[int, _T]], number: int) -> _T | None:
    """Return the last of numbered values before a row, or else the first one."""
    before = [value for at, value in found if at < number]
    return before[-1] if before else found[0][1] if found else None


def _folder(path: str) -> dict[str, Any]:
    return {"cwd": path} if path else {}


def _results(response: Response | None) -> dict[str, tuple[int, list[Part]]]:
    return response.results if response else {}


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"projectHash": _} | {"payload": _}:
            return False
        case {"type": "file-history-snapshot", "snapshot": _} | {"type": "summary", "leafUuid": _}:
            return True
        case {"type": str(), "sessionId": str()} | {"type": str(), "parentUuid": _}:
            return True
        case {"type": "user" | "assistant", "message": {"role": str()}}:
            return True
        case {"type": "attachment", "attachment": {"type": str()}}:
            return True
        case {"type": str()}:
            return any(_is_row(line) for line in head.data[:_HEAD_BYTES].split(b"\n")[1:_HEAD_LINES])
    return False


def _is_row(line: bytes) -> bool:
    match FileHead(line).first:
        case {"type": str(), "uuid": str(), "parentUuid": _}:
            return True
    return False


def _in_project(project: Path) -> SessionFormat:
    return replace(FORMAT, reader=partial(ClaudeCodeReader, project=project))


FORMAT_NAME = "claude-code"
FORMAT = SessionFormat(
    name=FORMAT_NAME,
    expected="rows of a Claude Code transcript",
    appends=True,
    recognises=_recognises,
    reader=ClaudeCodeReader,
    in_project=_in_project,
)
