"""The content of single rows of Claude Code transcripts as parts of canonical messages.

Nothing here raises: the format moves, so that whatever has an unexpected shape becomes an opaque part or is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memscope.session.apis import anthropic_messages, parts
from memscope.session.apis.base import Part
from memscope.session.apis.parts import as_dict, as_list, as_text

__all__ = [
    "PRIVATE_ATTACHMENTS",
    "FileMemory",
    "Results",
    "Snapshot",
    "attachment_parts",
    "prompt_snapshot",
    "response_parts",
    "user_parts",
]

PRIVATE_ATTACHMENTS = ("session_context", "credential_org")
"""Attachments with data of the user's account, which are never read."""

Results = dict[str, list[Part]]
"""The results of tools by the id of their call."""

_REMINDERS = {"model": "text", "skill_listing": "content", "edited_text_file": "snippet"}
"""The field with the text of attachments that are one text."""
_HIDDEN_THINKING: Part = {"type": "opaque", "kind": "hidden thinking"}
"""Reasoning of which the transcript has only a signature."""


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
    found = _parts("assistant", message.get("content"))
    return [_HIDDEN_THINKING if part == parts.thinking("") else part for part in found]


def user_parts(message: Mapping[str, Any]) -> tuple[list[Part], Results]:
    """Return the parts of a user row, and the results of tools in it, images and the like included."""
    results: Results = {}
    others: list[Part] = []
    into = others
    for part in _parts("user", message.get("content")):
        if part["type"] == "tool_result":
            into = results.setdefault(part["id"], [])
        elif part["type"] == "text":
            into = others
        into.append(part)
    return others, results


def attachment_parts(attachment: Mapping[str, Any]) -> list[Part | FileMemory] | None:
    """Return the parts and memory files of an attachment; None if this kind is not known."""
    kind = as_text(attachment.get("type"))
    if kind in _REMINDERS:
        return [*_reminder(attachment.get(_REMINDERS[kind]))]
    read = _ATTACHMENTS.get(kind)
    return None if read is None else [*read(attachment)]


def prompt_snapshot(attachment: Mapping[str, Any]) -> Snapshot:
    """Return the system prompt and the tools of a `prompt_snapshot` attachment."""
    texts = [part["text"] for part in _parts("system", attachment.get("systemPrompt")) if part["type"] == "text"]
    named = [{"name": tool} if isinstance(tool, str) else tool for tool in as_list(attachment.get("tools"))]
    tools, _ = anthropic_messages.tool_definitions(named)
    return Snapshot("\n\n".join(texts), tuple(tools))


def _parts(role: str, content: Any) -> list[Part]:
    messages = anthropic_messages.messages({"role": role, "content": content}, "")
    return [part for message in messages for part in message["content"]]


def _reminder(text: Any) -> Iterator[Part]:
    if isinstance(text, str) and text:
        yield parts.text(f"<system-reminder>\n{text}\n</system-reminder>\n")


def _instructions(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    for file in map(as_dict, as_list(attachment.get("files"))):
        yield from _file_memory(file.get("path"), file.get("content"))


def _nested_memory(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    content = attachment.get("content")
    inner = content if isinstance(content, dict) else {"content": content}
    yield from _file_memory(attachment.get("path") or inner.get("path"), inner.get("content"))


def _relevant_memories(attachment: Mapping[str, Any]) -> Iterator[FileMemory]:
    for memory in map(as_dict, as_list(attachment.get("memories"))):
        yield from _file_memory(memory.get("path"), memory.get("content"), as_text(memory.get("header")))


def _file_memory(path: Any, text: Any, heading: str = "") -> Iterator[FileMemory]:
    if isinstance(path, str) and path:
        yield FileMemory(path, text if isinstance(text, str) else None, heading)


def _hook_context(attachment: Mapping[str, Any]) -> Iterator[Part]:
    content = attachment.get("content")
    lines = filter(None, map(as_text, content if isinstance(content, list) else [content]))
    name = as_text(attachment.get("hookName")) or as_text(attachment.get("hookEvent")) or "hook"
    for part in _reminder("\n".join(lines)):
        yield parts.text(part["text"], f"hook/{name}")


def _queued_command(attachment: Mapping[str, Any]) -> Iterator[Part]:
    yield from user_parts({"content": attachment.get("prompt")})[0]


def _file(attachment: Mapping[str, Any]) -> Iterator[Part]:
    text = as_dict(as_dict(attachment.get("content")).get("file")).get("content")
    if isinstance(text, str):
        name = as_text(attachment.get("displayPath")) or as_text(attachment.get("filename")) or "a file"
        yield from _reminder(f"Contents of {name}:\n\n{text}")


_ATTACHMENTS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Any]]] = {
    "instructions": _instructions,
    "nested_memory": _nested_memory,
    "relevant_memories": _relevant_memories,
    "hook_additional_context": _hook_context,
    "queued_command": _queued_command,
    "file": _file,
}
