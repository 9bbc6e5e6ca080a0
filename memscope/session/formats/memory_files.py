"""Memory files of coding agents: CLAUDE.md, MEMORY.md, AGENTS.md and the like.

A file is one memory. Its key is its path within the project or within the agent's own folder, so that the same file has
the same key in every session of a project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from memscope.session.apis import parts
from memscope.session.apis.base import Part

__all__ = ["file_part", "files_on_disk", "joined", "memory_key", "text_on_disk", "title_of"]

_AGENT_FOLDER = re.compile(r"^.*/(?=\.(?:claude|codex|gemini)/)")
_AGENT_PROJECT = re.compile(r"^.*/\.claude/projects/[^/]+/")
_CODEX_MEMORIES = re.compile(r"^.*/\.codex/(?=memories/)")
_IN_PROJECT = ("CLAUDE.md", ".claude/CLAUDE.md", "CLAUDE.local.md", "MEMORY.md")
_TITLE_CHARACTERS = 60
_FILE_LIMIT = 2**20
"""Maximum size of a memory file in bytes; a larger one is not a memory file."""


def memory_key(path: str, project: str) -> str:
    """Return the key of a memory file.

    Args:
        path: Its path as the agent recorded it, on any system.
        project: The agent's working folder; "" if unknown.

    Returns:
        The path relative to the project, or else relative to the agent's folder (`memory/MEMORY.md`,
        `~/.claude/CLAUDE.md`), or else the path itself.
    """
    path, project = path.replace("\\", "/"), project.replace("\\", "/").rstrip("/")
    if project and path.startswith(f"{project}/"):
        return path[len(project) + 1 :]
    for folder in (_AGENT_PROJECT, _CODEX_MEMORIES):
        if found := folder.match(path):
            return path[found.end() :] or path
    return _AGENT_FOLDER.sub("~/", path)


def file_part(path: str, text: str, project: str, heading: str = "") -> Part:
    """Return a memory file as part of a canonical message, inside a reminder as agents send it.

    Args:
        path: Its path.
        text: Its text.
        project: The agent's working folder; "" if unknown.
        heading: The line above its text; by default its path.
    """
    shown = f"<system-reminder>\n{heading or f'Contents of {path}:'}\n\n{text}\n</system-reminder>\n"
    return parts.text(shown, memory_key(path, project))


def files_on_disk(project: Path, transcript: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of the memory files that Claude Code reads for a project.

    Args:
        project: The project's folder.
        transcript: The transcript, next to which the agent keeps a folder with its own memories.
    """
    own = transcript.parent / "memory" / "MEMORY.md"
    for path in (*(project / name for name in _IN_PROJECT), own):
        if (text := text_on_disk(path)) is not None:
            yield str(path), text


def text_on_disk(path: Path) -> str | None:
    """Return the text of a file; None if there is no such file or it is not a text of reasonable size."""
    try:
        if not path.is_file() or path.stat().st_size > _FILE_LIMIT:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def title_of(content: Sequence[Part]) -> str:
    """Return the beginning of what a user says as a title; "" for what is not a user's own text."""
    text = " ".join(part["text"] for part in content if part["type"] == "text" and "memory" not in part)
    return "" if text.lstrip().startswith("<") else " ".join(text[: 4 * _TITLE_CHARACTERS].split())[:_TITLE_CHARACTERS]


def joined(content: Sequence[Part]) -> list[Part]:
    """Return the parts of several rows as the content of one message, on lines of their own.

    A line break belongs to the text before it, so that a memory has the same text wherever it stands.
    """
    made = [dict(part) for part in content]
    for before, after in pairwise(made):
        if before["type"] == after["type"] == "text" and not before["text"].endswith("\n"):
            before["text"] += "\n"
    return made
