"""The session formats, and how the format of a file is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

from memscope.errors import SessionError, UsageError
from memscope.session.formats.base import FileHead, SessionFormat
from memscope.session.json_text import parse_json

__all__ = ["all_formats", "choose_format", "format_named", "format_of"]

_MODULES = (
    "native",
    "recording",
    "claude_code.transcript",
    "codex.rollout",
    "inspect_ai.archive",
    "gemini.cli",
    "langchain_lines",
    "conversation_lines",
    "langchain",
    "gemini.contents",
    "gemini.document",
    "letta.agent_file",
    "anthropic",
    "responses",
    "inspect_ai.log",
    "chat_lines",
    "chat",
)
"""The modules of the formats, in the order in which they are tried. A module is imported when it is tried: native
sessions come first, because they must load before the first paint. Files of one JSON document come after JSON Lines,
which need the first line alone, and chat messages last, because their shape is the most general."""


def all_formats() -> Iterator[SessionFormat]:
    """Yield every format, in the order in which they are tried."""
    for module in _MODULES:
        yield cast(SessionFormat, import_module(f"memscope.session.formats.{module}").FORMAT)


def format_of(data: bytes, name: str) -> SessionFormat:
    """Return the format of a file, based on its content, not its name.

    Args:
        data: The bytes of the file, without a byte order mark.
        name: The file name, for error messages.

    Raises:
        SessionError: No format recognises it.
    """
    head = FileHead(data)
    for one in all_formats():
        if one.recognises(head):
            return one
    if head.first is None:
        parse_json(data, name)  # raises where it is not JSON at all
    expected = ", ".join(one.expected for one in all_formats())
    raise SessionError(f"{name}: JSON but not a session, expected {expected}")


def format_named(name: str) -> SessionFormat:
    """Return the format with this name.

    Raises:
        UsageError: There is none; the message lists the names.
    """
    names = {one.name: one for one in all_formats()}
    if name not in names:
        raise UsageError(f"session format {name!r} is unknown; known formats: {', '.join(names)}")
    return names[name]


def choose_format(
    data: bytes,
    name: str,
    source_format: str | None = None,
    project: str | Path | None = None,
    pick: str | None = None,
) -> SessionFormat:
    """Return the format to read a file with.

    Args:
        data: The bytes of the file, without a byte order mark.
        name: The file name, for error messages.
        source_format: The name of its format; None to determine it from the content.
        project: The folder of the project whose memory files the file lacks, if any.
        pick: The id of the conversation to read, if the file holds several.

    Raises:
        SessionError: No format recognises the file.
        UsageError: There is no format with this name, the format has no memory files or one conversation a file, or the
            project is not a folder.
    """
    chosen = format_named(source_format) if source_format else format_of(data, name)
    if project is not None:
        chosen = _in_project(chosen, name, project)
    if pick is None:
        return chosen
    if chosen.picking is None:
        raise UsageError(f"{name}: --pick is for files with several conversations, not for the format {chosen.name}")
    return chosen.picking(pick)


def _in_project(chosen: SessionFormat, name: str, project: str | Path) -> SessionFormat:
    folder = Path(project).expanduser()
    if chosen.in_project is None:
        raise UsageError(
            f"{name}: --project is for transcripts that lack memory files, not for the format {chosen.name}"
        )
    if not folder.is_dir():
        raise UsageError(f"--project {project}: not a folder")
    return chosen.in_project(folder.resolve())
