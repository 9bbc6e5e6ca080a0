"""Split a model's text into content, reasoning and tool calls while it is generated.

Models write reasoning between `<think>` and `</think>`, and tool calls as JSON between `<tool_call>` and
`</tool_call>`. Line breaks next to these tags belong to the tags. A tool call that is not valid JSON is content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

__all__ = ["CalledTool", "OutputParser", "OutputPart", "StopFinder", "TextPart"]


class TextPart(NamedTuple):
    """Some more text of the content or of the reasoning."""

    kind: Literal["content", "reasoning"]
    text: str


class CalledTool(NamedTuple):
    """A complete tool call; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


OutputPart: TypeAlias = TextPart | CalledTool


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class OutputParser:
    """Parses the text of one response, given in pieces."""

    def __init__(self, *, thinking: bool = False, tools: bool = True) -> None:
        """Create a parser at the beginning of a response.

        Args:
            thinking: The prompt has opened the reasoning already.
            tools: Recognise tool calls.
        """
        self._tags = re.compile("<think>|<tool_call>" if tools else "<think>")
        self._buffer = ""
        self._state: Callable[[bool], Iterator[OutputPart]] = self._reasoning if thinking else self._content
        self._skips_newlines = thinking

    def feed(self, text: str) -> list[OutputPart]:
        """Return the parts that are certain after some more text."""
        self._buffer += text
        return self._parts(last=False)

    def finish(self) -> list[OutputPart]:
        """Return the remaining parts at the end of the response."""
        return self._parts(last=True)

    def _parts(self, *, last: bool) -> list[OutputPart]:
        found: list[OutputPart] = []
        while True:
            before = self._state, self._buffer
            found += self._state(last)
            if (self._state, self._buffer) == before:
                return found

    def _content(self, last: bool) -> Iterator[OutputPart]:
        self._skip_newlines()
        tag = self._tags.search(self._buffer)
        if tag is None:
            yield from self._text("content", _safe_length(self._buffer, ("<think>", "<tool_call>"), last=last))
            return
        yield from self._text("content", tag.start(), closes=True)
        self._enter(self._reasoning if tag.group() == "<think>" else self._call, tag.group())

    def _reasoning(self, last: bool) -> Iterator[OutputPart]:
        self._skip_newlines()
        end = self._buffer.find("</think>")
        if end < 0:
            yield from self._text("reasoning", _safe_length(self._buffer, ("</think>",), last=last))
            return
        yield from self._text("reasoning", end, closes=True)
        self._enter(self._content, "</think>")

    def _call(self, last: bool) -> Iterator[OutputPart]:
        body, tag, _ = self._buffer.partition("</tool_call>")
        if not tag and not last:
            return
        called = _called_tool(body) if tag else None
        yield called or TextPart("content", "<tool_call>" + body + tag)
        self._enter(self._content, body + tag)
        self._skips_newlines = called is not None

    def _enter(self, state: Callable[[bool], Iterator[OutputPart]], tag: str) -> None:
        """Go to another state behind a text at the beginning of the buffer."""
        self._buffer = self._buffer[len(tag) :]
        self._state = state
        self._skips_newlines = True

    def _skip_newlines(self) -> None:
        if self._skips_newlines:
            self._buffer = self._buffer.lstrip("\n")
            self._skips_newlines = not self._buffer

    def _text(self, kind: Literal["content", "reasoning"], length: int, *, closes: bool = False) -> Iterator[TextPart]:
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        if closes:
            text = text.rstrip("\n")
        if text:
            yield TextPart(kind, text)


class StopFinder:
    """Cuts a text, given in pieces, before the first of several stop texts."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._buffer = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Return the text that certainly comes before a stop text."""
        if not self._stops or self.found:
            return "" if self.found else text
        self._buffer += text
        starts = [at for stop in self._stops if (at := self._buffer.find(stop)) >= 0]
        self.found = bool(starts)
        length = min(starts) if starts else _without_partial(self._buffer, self._stops)
        return self._take(length)

    def rest(self) -> str:
        """Return the text held back, at the end of the response."""
        return "" if self.found else self._take(len(self._buffer))

    def _take(self, length: int) -> str:
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        return text


def _called_tool(body: str) -> CalledTool | None:
    try:
        call = msgspec.json.decode(body.encode(), type=_Call)
        arguments = bytes(call.arguments)
        parsed: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return CalledTool(call.name, arguments.decode()) if isinstance(parsed, dict) else None


def _safe_length(text: str, tags: tuple[str, ...], *, last: bool) -> int:
    """Return how much of a text is certain: line breaks and the beginning of a tag at its end may belong to a tag."""
    return len(text) if last else len(text[: _without_partial(text, tags)].rstrip("\n"))


def _without_partial(text: str, tags: tuple[str, ...]) -> int:
    """Return the length of a text without a partial tag at its end."""
    longest = min(len(text), max(map(len, tags)) - 1)
    for size in range(longest, 0, -1):
        if text.endswith(tuple(tag[:size] for tag in tags if size < len(tag))):
            return len(text) - size
    return len(text)
