"""The content of single rows of Claude Code transcripts as parts of canonical messages.

Nothing here raises: the format moves, so that whatever has an unexpected shape becomes an opaque part or is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from memscope.session.formats.memory_files import text_part

__all__ = [
    "PRIVATE_ATTACHMENTS",
    "FileMemory",
    "Snapshot",
    "attachment_parts",
    "prompt_snapshot",
    "response_parts",
    "user_parts",
]

PRIVATE_ATTACHMENTS = ("session_context", "credential_org")
"""Attachments with data of the user's account, which are never read."""

_REMINDERS = {"model": "text", "skill_listing": "content", "edited_text_file": "snippet"}
"""The field with the text of attachments that are one text."""
_SCHEMAS = ("input_schema", "inputSchema")
_TOOL_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")

Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileMemory:
    """A memory file of an attachment; `text` is None where the transcript has only its path."""

    path: str
    text: str | None
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The system prompt and the tools that a `prompt_snapshot` attachment holds."""

    text: str
    tools: tuple[Mapping[str, Any], ...]


def response_parts(message: Mapping[str, Any]) -> list[Part]:
    """Return what a row of the model says."""
    return [part for block in _blocks(message.get("content")) for part in _response_part(block)]


def user_parts(message: Mapping[str, Any]) -> tuple[list[Part], list[tuple[str, list[Part]]]]:
    """Return the parts of a user row, and its tool results: the id of the call and the parts of each."""
    parts: list[Part] = []
    results: list[tuple[str, list[Part]]] = []
    for block in _blocks(message.get("content")):
        if block.get("type") == "tool_result":
            results.append(_tool_result(block))
        else:
            parts += _user_part(block)
    return parts, results


def attachment_parts(attachment: Mapping[str, Any]) -> list[Part | FileMemory] | None:
    """Return the parts and memory files of an attachment; None if this kind is not known."""
    kind = str(attachment.get("type"))
    if kind in _REMINDERS:
        return [*_reminder(attachment.get(_REMINDERS[kind]))]
    read = _ATTACHMENTS.get(kind)
    return None if read is None else [*read(attachment)]


def prompt_snapshot(attachment: Mapping[str, Any]) -> Snapshot:
    """Return the system prompt and the tools of a `prompt_snapshot` attachment."""
    prompt = attachment.get("systemPrompt")
    texts = [_text(block) for block in (prompt if isinstance(prompt, list) else [prompt])]
    tools = attachment.get("tools")
    given = tools if isinstance(tools, list) else []
    return Snapshot("\n\n".join(filter(None, texts)), tuple(filter(None, map(_tool, given))))


def _blocks(content: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the blocks of a message, whose content may be one string."""
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, str):
            yield {"type": "text", "text": block}
        elif isinstance(block, dict):
            yield block


def _response_part(block: Mapping[str, Any]) -> Iterator[Part]:
    kind = block.get("type")
    if kind == "text":
        if text := _text(block):
            yield text_part(text)
    elif kind == "thinking" and isinstance(thought := block.get("thinking"), str) and thought:
        yield {"type": "thinking", "text": thought}
    elif kind in _TOOL_CALLS:
        name = block.get("name")
        call = {"type": "tool_call", "name": name if isinstance(name, str) and name else "tool"}
        yield call | {"id": str(block.get("id", "")), "arguments": block.get("input")}
    else:
        yield _opaque(block)


def _user_part(block: Mapping[str, Any]) -> Iterator[Part]:
    if block.get("type") == "text":
        if text := _text(block):
            yield text_part(text)
    else:
        yield _opaque(block)


def _tool_result(block: Mapping[str, Any]) -> tuple[str, list[Part]]:
    call = str(block.get("tool_use_id", ""))
    inside = list(_blocks(block.get("content")))
    text = "\n".join(_text(part) for part in inside if part.get("type") == "text")
    others = [_opaque(part) for part in inside if part.get("type") != "text"]
    return call, [{"type": "tool_result", "id": call, "text": text}, *others]


def _opaque(block: Mapping[str, Any]) -> Part:
    return {"type": "opaque", "kind": str(block.get("type") or "unknown"), "bytes": len(msgspec.json.encode(block))}


def _text(block: Any) -> str:
    text: Any = block.get("text") if isinstance(block, dict) else block
    return text if isinstance(text, str) else ""


def _tool(tool: Any) -> Mapping[str, Any] | None:
    """Return a tool definition with its schema under the name that chat templates read."""
    if isinstance(tool, str):
        return {"name": tool}
    if not isinstance(tool, dict):
        return None
    return {"parameters" if name in _SCHEMAS else name: value for name, value in tool.items()}


def _reminder(text: Any) -> Iterator[Part]:
    if isinstance(text, str) and text:
        yield text_part(f"<system-reminder>\n{text}\n</system-reminder>\n")


def _instructions(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    files = attachment.get("files")
    for file in files if isinstance(files, list) else []:
        if isinstance(file, dict) and isinstance(path := file.get("path"), str) and path:
            text = file.get("content")
            yield FileMemory(path, text if isinstance(text, str) else None)


def _nested_memory(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    content = attachment.get("content")
    inner = content if isinstance(content, dict) else {"content": content}
    path, text = attachment.get("path") or inner.get("path"), inner.get("content")
    if isinstance(path, str) and path:
        yield FileMemory(path, text if isinstance(text, str) else None)


def _relevant_memories(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    memories = attachment.get("memories")
    for memory in memories if isinstance(memories, list) else []:
        if isinstance(memory, dict) and isinstance(path := memory.get("path"), str) and path:
            text, header = memory.get("content"), memory.get("header")
            shown = header if isinstance(header, str) else ""
            yield FileMemory(path, text if isinstance(text, str) else None, shown)


def _hook_context(attachment: Mapping[str, Any]) -> Iterator[Part]:
    content = attachment.get("content")
    lines = [text for text in (content if isinstance(content, list) else [content]) if isinstance(text, str) and text]
    name = next((n for n in map(attachment.get, ("hookName", "hookEvent")) if isinstance(n, str) and n), "hook")
    for part in _reminder("\n".join(lines)):
        yield part | {"memory": {"key": f"hook/{name}"}}


def _queued_command(attachment: Mapping[str, Any]) -> Iterator[Part]:
    for block in _blocks(attachment.get("prompt")):
        yield from _user_part(block)


def _file(attachment: Mapping[str, Any]) -> Iterator[Part]:
    content = attachment.get("content")
    file = content.get("file") if isinstance(content, dict) else None
    text = file.get("content") if isinstance(file, dict) else None
    if isinstance(text, str):
        name = attachment.get("displayPath") or attachment.get("filename") or "a file"
        yield from _reminder(f"Contents of {name}:\n\n{text}")


_ATTACHMENTS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Any]]] = {
    "instructions": _instructions,
    "nested_memory": _nested_memory,
    "relevant_memories": _relevant_memories,
    "hook_additional_context": _hook_context,
    "queued_command": _queued_command,
    "file": _file,
}
