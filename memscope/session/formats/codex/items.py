"""The items of Codex rollouts as canonical messages.

Items have the shapes of OpenAI's Responses API, and a few more. Nothing here raises, because the format moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from memscope.session.apis import openai_responses, parts
from memscope.session.apis.base import Message, Part
from memscope.session.apis.parts import as_text
from memscope.session.formats.memory_files import memory_key
from memscope.session.text import HEAD_ROLES

__all__ = ["CodexMemories", "input_message", "is_item", "is_setting", "is_written", "written_parts"]

_CALLS = {"local_shell_call": "action", "web_search_call": "action", "tool_search_call": "arguments"}
"""The field with the arguments of calls that rollouts have beside those of functions and custom tools."""
_WRITTEN = ("reasoning", "function_call", "custom_tool_call", "image_generation_call", *_CALLS)
_OUTPUTS = {
    "function_call_output": "output",
    "custom_tool_call_output": "output",
    "local_shell_call_output": "output",
    "mcp_tool_call_output": "result",
    "tool_search_output": "tools",
}
"""The field with what a tool returned."""
_SUMMARIES = ("compaction", "compaction_summary", "context_compaction")
"""Encrypted summaries of the history."""

_AGENTS_FILE = re.compile(r"# AGENTS\.md instructions for (?P<folder>[^\n]*)\n")
_AGENTS_END = "</INSTRUCTIONS>"
_OLD_AGENTS_FILE = "<user_instructions>"
_SUMMARY = re.compile(r"=+ MEMORY_SUMMARY BEGINS =+\n(?P<text>.*?)(?=\n=+ MEMORY_SUMMARY ENDS =+|\Z)", re.DOTALL)
_SUMMARY_FILE = "memory_summary.md"
_VERSION = re.compile(r"\s*(?:v\d+\s*)?")
"""What stands before the first section of the memory summary and is no memory."""
_HEADING = re.compile(r"^## +(?P<title>[^\n]+)$", re.MULTILINE)
_MEMORY_FILE = re.compile(r"memories/((?:[\w.-]+/)*[\w.-]+\.md)\b")
_SETTINGS = ("# AGENTS.md instructions for", "<user_instructions>", "<environment_context>")
"""How texts begin that the agent, not the user, puts into user messages."""


def is_item(value: Any) -> bool:
    """Return whether a value is an item that the model reads or writes."""
    kind = as_text(value.get("type")) if isinstance(value, dict) else ""
    return kind == "message" or kind in _WRITTEN or kind in _OUTPUTS or kind in _SUMMARIES


def is_written(item: Mapping[str, Any]) -> bool:
    """Return whether the model wrote an item."""
    kind = item["type"]
    return kind in _WRITTEN or (kind == "message" and item.get("role") == "assistant")


def is_setting(message: Message) -> bool:
    """Return whether a canonical message holds instructions or settings rather than what a user or a tool says."""
    if message["role"] in HEAD_ROLES:
        return True
    texts = [part["text"] for part in message["content"] if part["type"] == "text"]
    return message["role"] == "user" and any(text.startswith(_SETTINGS) for text in texts)


def written_parts(item: Mapping[str, Any]) -> list[Part]:
    """Return what the model wrote in an item."""
    kind = item["type"]
    if kind in _CALLS:
        return [parts.tool_call(item.get("call_id"), kind.removesuffix("_call"), item.get(_CALLS[kind]))]
    return _content(item)


def input_message(item: Mapping[str, Any], memories: CodexMemories) -> Message:
    """Return an item that the model reads as a canonical message, with its memories marked."""
    kind = item["type"]
    if kind in _OUTPUTS:
        content = _content({**item, "type": "function_call_output", "output": _output(item[_OUTPUTS[kind]])})
        return {"role": "tool", "content": [memories.result(part) for part in content]}
    if kind in _SUMMARIES:
        return {"role": "user", "content": [parts.opaque(item)]}
    content = [marked for part in _content(item) for marked in memories.parts(part)]
    return {"role": as_text(item.get("role")) or "user", "content": content}


def _content(item: Mapping[str, Any]) -> list[Part]:
    messages = openai_responses.messages([item], "", "")
    return [part for message in messages for part in message["content"]]


def _output(output: Any) -> Any:
    """Return what a tool returned as a text or a list of blocks."""
    if isinstance(output, dict) and "content" in output:
        output = output["content"]
    return output if isinstance(output, str | list | None) else msgspec.json.encode(output).decode()


class CodexMemories:
    """Finds the memories in what the model reads.

    Attributes:
        keys: The memories found so far: for a section, the lines of its file; None for a whole file.
    """

    def __init__(self) -> None:
        """Start with no memories."""
        self.keys: dict[str, range | None] = {}
        self.folder = ""
        self._reads: dict[str, str] = {}

    def watch(self, part: Part) -> None:
        """Remember a tool call that reads one memory file: its result is that memory."""
        if part["type"] == "tool_call":
            files = set(_MEMORY_FILE.findall(msgspec.json.encode(part["arguments"]).decode()))
            if len(files) == 1:
                self._reads[part["id"]] = f"memories/{files.pop()}"

    def parts(self, part: Part) -> Iterator[Part]:
        """Yield a part of a user or developer message in pieces, with its memories marked."""
        if part["type"] != "text":
            yield part
            return
        text = part["text"]
        if text.startswith(_OLD_AGENTS_FILE):
            yield self._marked(text, "AGENTS.md")
        elif agents := _AGENTS_FILE.match(text):
            closing = text.find(_AGENTS_END)
            end = len(text) if closing < 0 else closing + len(_AGENTS_END)
            yield self._marked(text[:end], memory_key(f"{agents['folder'].strip()}/AGENTS.md", self.folder))
            yield from _plain(text[end:])
        elif summary := _SUMMARY.search(text):
            yield from _plain(text[: summary.start("text")])
            yield from self._sections(summary["text"])
            yield from _plain(text[summary.end("text") :])
        else:
            yield from _plain(text)

    def result(self, part: Part) -> Part:
        """Return a part of what a tool returned, marked if the call reads a memory file."""
        key = self._reads.get(part["id"]) if part["type"] == "tool_result" else None
        if key is None or not part["text"]:
            return part
        self.keys.setdefault(key, None)
        return parts.tool_result(part["id"], part["text"], key)

    def _sections(self, text: str) -> Iterator[Part]:
        """Yield the sections of the memory summary, each of which is one memory."""
        headings = list(_HEADING.finditer(text))
        starts = [
            (0, _SUMMARY_FILE),
            *((found.start(), f"{_SUMMARY_FILE}#{found['title'].strip()}") for found in headings),
        ]
        ends = [start for start, _ in starts[1:]] + [len(text)]
        for (start, key), end in zip(starts, ends, strict=True):
            if _VERSION.fullmatch(text, start, end) is None:
                first = 1 + text.count("\n", 0, start)
                yield self._marked(text[start:end], key, range(first, first + len(text[start:end].splitlines())))
            else:
                yield from _plain(text[start:end])

    def _marked(self, text: str, key: str, lines: range | None = None) -> Part:
        self.keys[key] = lines
        return parts.text(text, key)


def _plain(text: str) -> Iterator[Part]:
    if text:
        yield parts.text(text)
