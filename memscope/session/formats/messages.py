"""Convert OpenAI-style chat messages to the nodes of a session.

The text the model saw is unchanged: the texts of a turn's leaves, joined, are the message's content. Memories are found
by explicit marks (`"memory": {"key": …}` on a message or a text block) and, in messages without a mark that the model
did not write, by the rules of `memscope.session.detectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.detectors import Detector
from memscope.session.formats.builder import has_mark
from memscope.session.formats.fields import field_error
from memscope.session.formats.text_leaves import TextLeaves
from memscope.session.identity import file_session_id
from memscope.session.limits import ARGUMENTS_DEPTH, nests_deeper
from memscope.session.memory_tools import searches_memories
from memscope.session.nodes import (
    Branch,
    Header,
    Leaf,
    Section,
    Session,
    Source,
    Thinking,
    ToolCall,
)
from memscope.session.text import HEAD_ROLES, origin_of
from memscope.session.timestamps import is_timestamp
from memscope.terminal.counts import counted

__all__ = ["MessageConverter"]

_REASONING = ("reasoning_content", "reasoning", "thinking")
_READ = {"type", "role", "content", "tool_calls", "memory", *_REASONING}
_TIMES = ("timestamp", "created_at")


class MessageConverter:
    """Builds a session from the messages of one conversation, added one by one."""

    def __init__(self, name: str, format_name: str, detector: Detector) -> None:
        """Create an empty conversation.

        Args:
            name: The file name, for error messages.
            format_name: The name of the file's format.
            detector: The memory detector; it records what it finds.
        """
        self._name, self._format = name, format_name
        self._texts = TextLeaves(detector)
        self._where = name
        self._nodes: list[Branch] = []
        self._head: list[Any] = []
        self._first: Any = None
        self._skipped: dict[str, int] = {}
        self._searches: set[str] = set()
        self._is_searched = True
        self._lines: list[str] = []

    def take(self, message: Any, where: str) -> None:
        """Add the next message.

        Args:
            message: The decoded message.
            where: File and line, or file and number of the message, for errors.

        Raises:
            SessionError: The message is invalid; the error names the field.
        """
        self._where = where
        if not isinstance(message, dict):
            raise self._wrong("", "an object with a role", message)
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise self._wrong("role", "a non-empty string", role)
        section: Section = "system" if role in HEAD_ROLES and self._first is None else "conversation"
        if section == "system":
            self._head.append(message)
        elif self._first is None:
            self._first = message
        self._nodes.append(self._branch(role, section, message))

    def note(self, line: str) -> None:
        """Add a line about what was not read."""
        self._lines.append(line)

    def session(self, *, title: str = "", model: str = "", tools: Sequence[Any] = ()) -> Session:
        """Return the session of the messages added so far.

        Args:
            title: The title, if the file has one; by default the file name.
            model: The name of the model that wrote the responses, if the file has one.
            tools: The tool definitions, if the file has any.
        """
        source = Source(
            path=self._name,
            format=self._format,
            rules=self._texts.rules,
            searched=self._texts.searched,
            notes=self._notes(),
        )
        begins = self._head if self._first is None else [self._first]
        header = Header(
            id=file_session_id("chat", self._name, begins), title=title or PurePath(self._name).stem, model=model
        )
        return Session(header=header, nodes=tuple(self._nodes), source=source, tools=tuple(tools))

    def _notes(self) -> tuple[str, ...]:
        skipped = [
            f"{counted(count, 'content block')} of type {kind} skipped: only text is scored"
            for kind, count in self._skipped.items()
        ]
        return (*self._lines, *skipped, *self._texts.notes)

    def _branch(self, role: str, section: Section, message: dict[str, Any]) -> Branch:
        leaves = self._reasoning(message) + self._content(role, message) + self._calls(message)
        if section != "conversation":
            leaves = [msgspec.structs.replace(leaf, section=section) for leaf in leaves]
        times = {field: time for field in _TIMES if isinstance(time := message.get(field), str) and is_timestamp(time)}
        timed, stamp = next(iter(times.items()), (None, None))
        kept = {field: value for field, value in message.items() if field not in _READ and field != timed}
        return Branch(role=role, section=section, children=tuple(leaves), timestamp=stamp, extra=kept)

    def _reasoning(self, message: dict[str, Any]) -> list[Leaf]:
        for field in _REASONING:
            if isinstance(text := message.get(field), str) and text:
                return [Thinking(text=text)]
        return []

    def _content(self, role: str, message: dict[str, Any]) -> list[Leaf]:
        content = message.get("content")
        if content is None:
            if "content" not in message and "tool_calls" not in message:
                raise self._wrong("content", "a string or a list of blocks", None)
            return []
        key = self._mark(message.get("memory"), "memory")
        results = role == "tool" and self._answers_search(message)
        self._is_searched = not has_mark(message)
        if isinstance(content, str):
            return self._text(role, content, key, results)
        if not isinstance(content, list):
            raise self._wrong("content", "a string or a list of blocks", content)
        return self._blocks(role, content, key, results)

    def _answers_search(self, message: dict[str, Any]) -> bool:
        call = message.get("tool_call_id")
        return searches_memories(message.get("name")) or (isinstance(call, str) and call in self._searches)

    def _blocks(self, role: str, blocks: list[Any], key: str | None, results: bool) -> list[Leaf]:
        leaves: list[Leaf] = []
        plain = ""
        for number, block in enumerate(blocks):
            field = f"content[{number}]"
            text = self._block_text(field, block)
            own = self._mark(block.get("memory"), f"{field}.memory") if isinstance(block, dict) else None
            if own or key:
                leaves += self._text(role, plain, None, results)
                plain = ""
                leaves += self._text(role, text, own or key, results)
            else:
                plain += text
        return leaves + self._text(role, plain, None, results)

    def _block_text(self, field: str, block: Any) -> str:
        if isinstance(block, str):
            return block
        if not isinstance(block, dict):
            raise self._wrong(field, "a text block", block)
        kind = block.get("type", "text")
        if kind not in ("text", "input_text", "output_text"):
            self._skipped[str(kind)] = self._skipped.get(str(kind), 0) + 1
            return ""
        text = block.get("text")
        if not isinstance(text, str):
            raise self._wrong(f"{field}.text", "a string", text)
        return text

    def _text(self, role: str, text: str, key: str | None, results: bool) -> list[Leaf]:
        origin = origin_of(role) if self._is_searched else None
        return self._texts.split(text, key=key, origin=origin, search_results=results)

    def _mark(self, mark: Any, field: str) -> str | None:
        if mark is None:
            return None
        key = mark.get("key") if isinstance(mark, dict) else None
        if not isinstance(key, str) or not key:
            raise self._wrong(f"{field}.key", "a non-empty string", key)
        return key

    def _calls(self, message: dict[str, Any]) -> list[Leaf]:
        calls = message.get("tool_calls")
        if calls is None:
            return []
        if not isinstance(calls, list):
            raise self._wrong("tool_calls", "a list", calls)
        return [self._call(f"tool_calls[{number}]", call) for number, call in enumerate(calls)]

    def _call(self, field: str, call: Any) -> ToolCall:
        function = call.get("function", call) if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise self._wrong(f"{field}.function.name", "a non-empty string", name)
        if searches_memories(name) and isinstance(call.get("id"), str):
            self._searches.add(call["id"])
        extra = {"id": call["id"]} if "id" in call else {}
        return ToolCall(name=name, arguments=_parsed(function.get("arguments")), extra=extra)

    def _wrong(self, field: str, expected: str, value: Any) -> SessionError:
        return field_error(self._where, field, expected, value)


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    return arguments if nests_deeper(value, ARGUMENTS_DEPTH) else value
