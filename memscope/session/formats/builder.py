"""Build a session from canonical messages and calls; every format other than native and chat does so.

A canonical message is the `message` line of a recording, without its type and id:

    {"role": "user", "content": [
        {"type": "text", "text": "…", "memory": {"key": "…"}},   the mark is optional, here or on the message
        {"type": "thinking", "text": "…"},
        {"type": "tool_call", "id": "…", "name": "…", "arguments": {…}},
        {"type": "tool_result", "id": "…", "text": "…"},
        {"type": "tokens", "ids": […], "text": "…"},              a completion's exact ids
        {"type": "opaque", "kind": "image", "bytes": 1234}]}      kept and counted, not scored

Marks, memory rules and validation live here once. Unknown fields of a message and of its parts are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from memscope.session.detectors import Detector
from memscope.session.formats.fields import Fields
from memscope.session.formats.skipped import skipped_lines
from memscope.session.formats.text_leaves import TextLeaves
from memscope.session.memory_tools import searches_memories
from memscope.session.nodes import (
    RESULT_FIELD,
    Branch,
    Call,
    Content,
    Header,
    Leaf,
    Opaque,
    Section,
    Session,
    Source,
    Thinking,
    ToolCall,
    ToolResult,
)
from memscope.session.positions import Positions
from memscope.session.rules.base import Origin
from memscope.session.text import HEAD_ROLES, origin_of
from memscope.session.timestamps import is_timestamp

__all__ = ["SessionBuilder", "has_mark"]


class SessionBuilder:
    """Collects the messages and calls of one session."""

    def __init__(self, name: str, format_name: str, detector: Detector, *, search_results_only: bool = False) -> None:
        """Create an empty session.

        Args:
            name: The file name.
            format_name: The name of the file's format.
            detector: The memory detector; it records what it finds.
            search_results_only: Look for memories only in those tool results that answer a memory search: the others
                are files and outputs, which may look like lists of memories.
        """
        self._search_results_only = search_results_only
        self._name, self._format = name, format_name
        self._texts = TextLeaves(detector)
        self._nodes: list[Branch] = []
        self._calls: list[Call] = []
        self._answered: set[int] = set()
        self._searches: set[str] = set()
        self._skipped: dict[str, int] = {}
        self._notes: dict[str, None] = {}
        self._equal: dict[bytes, int] = {}
        self._in_conversation = False

    def message(
        self, value: Any, where: str, *, section: Section | None = None, detect: bool = True, once: bool = False
    ) -> int:
        """Add a message and return its position among the session's nodes.

        Args:
            value: The canonical message.
            where: File and line, or file and place, for errors.
            section: Its section; by default "system" for a system message that precedes all others.
            detect: Whether to look for memories in texts that are not marked. Where a user can mark any part of a
                message, one with a mark is not searched: a rule could take in part an item that contains the mark.
            once: Return the position of an equal message that was added before, if there is one; ids do not count.

        Raises:
            SessionError: The message is invalid; the error names the field.
        """
        fields = Fields(value, where)
        role = fields.text("role", empty=False)
        if section is None:
            head = role in HEAD_ROLES and not self._in_conversation
            section = "system" if head else "conversation"
        self._in_conversation |= section == "conversation"
        stamp = fields.take("timestamp", str, "an RFC 3339 time", None)
        if stamp is not None and not is_timestamp(stamp):
            raise fields.error("timestamp", "an RFC 3339 time such as 2026-11-20T10:00:00Z", stamp)
        key = _mark(fields)
        origin = origin_of(role) if detect else None
        leaves = [leaf for part in _parts(fields) for leaf in self._leaves(part, key, origin)]
        node = Branch(role=role, children=tuple(leaves), timestamp=stamp, extra=fields.extra)
        if section != "conversation":
            node = _in_section(node, section)
        return self._append_once(node) if once else self._append(node)

    def call(
        self,
        *,
        id: str,  # noqa: A002 - the name of the field
        prompt: Sequence[int],
        response: int | None,
        **fields: Any,
    ) -> None:
        """Add a call whose prompt and response are positions that `message` returned.

        System messages at the beginning of its prompt belong to the system section, whenever they were first sent.

        Args:
            id: Its identity within the session.
            prompt: Positions of the prompt's messages, in the order they were sent.
            response: Position of the response; a message that answered an earlier call too, or is in the prompt, is
                added once more.
            fields: Further fields of `Call`.
        """
        if response is not None:
            response = self._own_response(response, prompt)
            self._answered.add(response)
        for position in takewhile(lambda position: self._nodes[position].role in HEAD_ROLES, prompt):
            if self._nodes[position].section != "system":
                self._nodes[position] = _in_section(self._nodes[position], "system")
        positions = prompt if isinstance(prompt, Positions) else tuple(prompt)
        self._calls.append(Call(id=id, prompt=positions, response=response, **fields))

    def note(self, line: str) -> None:
        """Add a line about what was skipped, changed or guessed; the same line is added once."""
        self._notes.setdefault(line)

    def skip(self, kind: str, count: int = 1) -> None:
        """Count something that was skipped, to be told as "<count> <kind>s skipped"."""
        self._skipped[kind] = self._skipped.get(kind, 0) + count

    def session(
        self,
        *,
        id: str,  # noqa: A002 - the name of the field
        title: str = "",
        model: str = "",
        whole: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Session:
        """Return the session of what was added so far.

        Args:
            id: Its id.
            title: Its title.
            model: Name of the model that answered, if it is one.
            whole: Whether the file holds the whole context that the model saw.
            tools: The tool definitions of a session without calls.
            extra: Unknown fields of the file's header.
        """
        source = Source(
            path=self._name,
            format=self._format,
            context="whole context" if whole else "reconstructed",
            rules=self._texts.rules,
            searched=self._texts.searched,
            notes=(*self._notes, *skipped_lines(self._skipped), *self._texts.notes),
        )
        header = Header(id=id, title=title, model=model, extra=extra or {})
        return Session(
            header=header, nodes=tuple(self._nodes), source=source, tools=tuple(tools), calls=tuple(self._calls)
        )

    def _own_response(self, response: int, prompt: Sequence[int]) -> int:
        node = self._nodes[response]
        if node.section != "conversation":
            return self._append(msgspec.structs.replace(node, section="conversation"))
        return self._append(node) if response in self._answered or response in prompt else response

    def _append_once(self, node: Branch) -> int:
        extra = {name: value for name, value in node.extra.items() if name != "id"}
        content = repr(msgspec.structs.replace(node, extra=extra)).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest not in self._equal:
            self._equal[digest] = self._append(node)
        return self._equal[digest]

    def _append(self, node: Branch) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _leaves(self, part: Fields, key: str | None, origin: Origin | None) -> list[Leaf]:
        kind = part.text("type", empty=False)
        if kind == "text":
            mark, text = _mark(part) or key, part.text("text")
            leaves = self._texts.split(text, key=mark, origin=origin)
            if part.extra and leaves:
                leaves[0] = msgspec.structs.replace(leaves[0], extra=part.extra)
            return leaves
        if kind == "tool_result":
            return self._tool_result(part, key, origin)
        if kind not in _LEAVES:
            raise part.error("type", f"one of text, tool_result, {', '.join(_LEAVES)}", kind)
        leaf = _LEAVES[kind](part)
        match leaf:
            case ToolCall(name=name) if searches_memories(name):
                self._searches.add(str(leaf.extra.get("id")))
            case Opaque():
                self.skip(f"{leaf.kind} part")
        return [leaf]

    def _tool_result(self, part: Fields, key: str | None, origin: Origin | None) -> list[Leaf]:
        """Return a result as memories and the rest, or as one leaf where it has no memory."""
        text, mark = part.text("text"), _mark(part) or key
        searched = str(part.extra.get("id")) in self._searches
        if self._search_results_only and not searched and mark is None:
            return [ToolResult(text=text, extra=part.extra)]
        leaves = self._texts.split(text, key=mark, origin=origin and "tool", search_results=searched)
        if all(isinstance(leaf, Content) for leaf in leaves):
            return [ToolResult(text=text, extra=part.extra)]
        result = {RESULT_FIELD: str(part.extra.get("id") or "")}
        return [
            ToolResult(text=leaf.text, extra=part.extra)
            if isinstance(leaf, Content)
            else msgspec.structs.replace(leaf, extra=result)
            for leaf in leaves
        ]


def _in_section(node: Branch, section: Section) -> Branch:
    leaves = tuple(msgspec.structs.replace(leaf, section=section) for leaf in node.children)
    return msgspec.structs.replace(node, section=section, children=leaves)


def has_mark(message: Mapping[str, Any]) -> bool:
    """Return whether a message, or a part of its content, has an exact mark."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return any(isinstance(value, dict) and value.get("memory") is not None for value in (message, *parts))


def _parts(fields: Fields) -> Iterator[Fields]:
    content = fields.pop("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise fields.error("content", "a string or a list of parts", content)
    for number, part in enumerate(content):
        yield fields.child("content", number, part)


def _mark(fields: Fields) -> str | None:
    mark = fields.pop("memory")
    if mark is None:
        return None
    key = mark.get("key") if isinstance(mark, dict) else None
    if not isinstance(key, str) or not key:
        raise fields.error("memory.key", "a non-empty string", key)
    return key


def _thinking(part: Fields) -> Leaf:
    return Thinking(text=part.text("text"), extra=part.extra)


def _tool_call(part: Fields) -> Leaf:
    name, arguments = part.text("name", empty=False), part.pop("arguments")
    return ToolCall(name=name, arguments=arguments, extra=part.extra)


def _tokens(part: Fields) -> Leaf:
    ids = part.take("ids", list, "a list of token ids")
    if not ids or not all(isinstance(id_, int) and not isinstance(id_, bool) and id_ >= 0 for id_ in ids):
        raise part.error("ids", "a list of token ids", ids)
    return Content(text=part.take("text", str, "a string", ""), token_ids=tuple(ids), extra=part.extra)


def _opaque(part: Fields) -> Leaf:
    kind = part.text("kind", empty=False)
    return Opaque(kind=kind, size=part.take("bytes", int, "a number of bytes", 0), extra=part.extra)


_LEAVES: Mapping[str, Callable[[Fields], Leaf]] = {
    "thinking": _thinking,
    "tool_call": _tool_call,
    "tokens": _tokens,
    "opaque": _opaque,
}
