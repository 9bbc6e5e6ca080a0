"""The items of Codex rollouts as canonical messages. Nothing here raises, because the format moves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from memscope.session.formats.memory_files import memory_key, text_part

__all__ = ["INPUTS", "WRITTEN", "CodexMemories", "input_message", "is_item", "is_setting", "written_parts"]

Part = dict[str, Any]

WRITTEN = {
    "reasoning": "",
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "web_search_call": "action",
    "tool_search_call": "arguments",
    "image_generation_call": "revised_prompt",
}
"""The items that the model writes beside its messages, and for calls the field with their arguments."""
INPUTS = (
    "function_call_output",
    "custom_tool_call_output",
    "mcp_tool_call_output",
    "tool_search_output",
    "local_shell_call_output",
    "compaction",
    "compaction_summary",
    "context_compaction",
)
"""The items that the model reads beside messages."""

_TEXTS = ("input_text", "output_text", "text")
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
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and (kind == "message" or kind in WRITTEN or kind in INPUTS)


def is_setting(message: Mapping[str, Any]) -> bool:
    """Return whether a canonical message holds instructions or settings rather than what a user or a tool says."""
    if message["role"] in ("system", "developer"):
        return True
    texts = [part["text"] for part in message["content"] if part["type"] == "text"]
    return message["role"] == "user" and any(text.startswith(_SETTINGS) for text in texts)


def written_parts(item: Mapping[str, Any]) -> list[Part]:
    """Return what the model wrote in an item."""
    kind = str(item.get("type"))
    if kind == "message":
        return [_text_or_opaque(block) for block in _blocks(item.get("content"))]
    if kind == "reasoning":
        return _reasoning(item)
    name, arguments = item.get("name"), _parsed(item.get(WRITTEN[kind]))
    shown = name if isinstance(name, str) and name else kind.removesuffix("_call")
    return [{"type": "tool_call", "id": str(item.get("call_id", "")), "name": shown, "arguments": arguments}]


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

    def parts(self, text: str) -> Iterator[Part]:
        """Yield a text of a user or developer message in parts, with its memories marked."""
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

    def result(self, call: str, text: str) -> Part:
        """Return the result of a tool, marked if the call reads a memory file."""
        part: Part = {"type": "tool_result", "id": call, "text": text}
        key = self._reads.get(call)
        if key is None or not text:
            return part
        self.keys.setdefault(key, None)
        return part | {"memory": {"key": key}}

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
        return text_part(text, key)


def input_message(item: Mapping[str, Any], memories: CodexMemories) -> dict[str, Any]:
    """Return an item that the model reads as a canonical message."""
    kind = str(item.get("type"))
    if kind == "message":
        role = item.get("role")
        content = [part for block in _blocks(item.get("content")) for part in _input_parts(block, memories)]
        return {"role": role if isinstance(role, str) and role else "user", "content": content}
    if kind not in INPUTS or "compaction" in kind:
        return {"role": "user", "content": [_opaque(item)]}
    call = str(item.get("call_id", ""))
    text, others = _output(item)
    return {"role": "tool", "tool_call_id": call, "content": [memories.result(call, text), *others]}


def _input_parts(block: Mapping[str, Any], memories: CodexMemories) -> Iterator[Part]:
    part = _text_or_opaque(block)
    if part["type"] == "text":
        yield from memories.parts(part["text"])
    else:
        yield part


def _output(item: Mapping[str, Any]) -> tuple[str, list[Part]]:
    """Return the text of a tool's output, and whatever else is in it."""
    output = next((item[name] for name in ("output", "result", "tools") if name in item), None)
    if isinstance(output, dict) and "content" in output:
        output = output["content"]
    if isinstance(output, str):
        return output, []
    if not isinstance(output, list):
        return "" if output is None else msgspec.json.encode(output).decode(), []
    parts = [_text_or_opaque(block) for block in _blocks(output)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, [part for part in parts if part["type"] == "opaque"]


def _reasoning(item: Mapping[str, Any]) -> list[Part]:
    texts = [text for block in _blocks(item.get("content")) if isinstance(text := block.get("text"), str)]
    if text := "\n".join(texts):
        return [{"type": "thinking", "text": text}]
    hidden = item.get("encrypted_content")
    return [{"type": "opaque", "kind": "encrypted reasoning", "bytes": len(hidden) if isinstance(hidden, str) else 0}]


def _blocks(content: Any) -> Iterator[Mapping[str, Any]]:
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, str):
            yield {"type": "text", "text": block}
        elif isinstance(block, dict):
            yield block


def _text_or_opaque(block: Mapping[str, Any]) -> Part:
    text = block.get("text")
    return text_part(text) if block.get("type") in _TEXTS and isinstance(text, str) else _opaque(block)


def _opaque(block: Mapping[str, Any]) -> Part:
    return {"type": "opaque", "kind": str(block.get("type") or "unknown"), "bytes": len(msgspec.json.encode(block))}


def _plain(text: str) -> Iterator[Part]:
    if text:
        yield text_part(text)


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
