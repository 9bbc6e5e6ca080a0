"""The transcripts that coding agents keep on this machine, for `--from` without a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from memscope.session.detectors import Detector
from memscope.session.formats.registry import format_named
from memscope.session.nodes import Header

__all__ = ["AGENTS", "Transcript", "newest_transcripts", "transcript_folder"]


class _Agent(NamedTuple):
    """Where an agent keeps its transcripts: the variable that names its folder, the default, and the files in it."""

    variable: str
    default: str
    folder: str
    pattern: str


AGENTS: Mapping[str, _Agent] = {
    "claude-code": _Agent("CLAUDE_CONFIG_DIR", "~/.claude", "projects", "*/*.jsonl"),
    "codex": _Agent("CODEX_HOME", "~/.codex", "sessions", "**/rollout-*.jsonl"),
}
"""The agents by the name of their format."""

_HEAD, _TAIL = 256 * 2**10, 64 * 2**10
"""How many bytes of a file are read to describe it: titles are near its beginning or its end."""


class Transcript(NamedTuple):
    """One file.

    Attributes:
        path: The file.
        modified: When it was last written, in seconds since the epoch.
        size: Its length in bytes.
        title: The title of the conversation.
        project: The folder that the agent worked in; "" if unknown.
    """

    path: Path
    modified: float
    size: int
    title: str
    project: str


def transcript_folder(agent: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder with an agent's transcripts, whether or not it exists.

    Args:
        agent: A name from `AGENTS`.
        environ: The environment; `os.environ` by default.
    """
    where = AGENTS[agent]
    named = (os.environ if environ is None else environ).get(where.variable)
    return Path(named or where.default).expanduser() / where.folder


def newest_transcripts(agent: str, count: int, environ: Mapping[str, str] | None = None) -> list[Transcript]:
    """Return an agent's newest transcripts, the newest first.

    Args:
        agent: A name from `AGENTS`.
        count: How many at most.
        environ: The environment; `os.environ` by default.
    """
    files = sorted(_files(agent, environ), key=lambda file: file[1].st_mtime, reverse=True)[:count]
    found = []
    for path, status in files:
        header = _header(path, agent)
        project = header.extra.get("cwd", "") if header else ""
        found.append(
            Transcript(path, status.st_mtime, status.st_size, header.title if header else path.stem, str(project))
        )
    return found


def _files(agent: str, environ: Mapping[str, str] | None) -> Iterator[tuple[Path, os.stat_result]]:
    for path in transcript_folder(agent, environ).glob(AGENTS[agent].pattern):
        try:
            status = path.stat()
        except OSError:  # deleted meanwhile, or not readable
            continue
        if path.is_file() and status.st_size:
            yield path, status


def _header(path: Path, agent: str) -> Header | None:
    """Return the header of a transcript as far as its beginning and its end tell; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(len(head), path.stat().st_size - _TAIL))
            tail = file.read()
    except OSError:
        return None
    reader = format_named(agent).reader(str(path), lambda: Detector(()))
    reader.feed(head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :] + b"\n")
    return reader.session().header
