"""Choose one of the transcripts that a coding agent keeps on this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

from memscope.errors import UsageError
from memscope.session.transcripts import AGENTS, Transcript, newest_transcripts, transcript_folder
from memscope.terminal.safe import fit, one_line, shorten

__all__ = ["chosen_transcript"]

_SHOWN = 20
_TITLE_CELLS, _PROJECT_CELLS = 48, 28


def chosen_transcript(agent: str) -> Path:
    """Return the transcript that the user chooses; with a single one, return it.

    Args:
        agent: The name of a format.

    Raises:
        UsageError: It is not an agent's format, the agent has no transcripts here, none was chosen, or there is no
            terminal to ask on: then the error's advice lists the transcripts with the command that opens each.
    """
    if agent not in AGENTS:
        raise UsageError(f"--from {agent} needs a SESSION")
    found = newest_transcripts(agent, _SHOWN)
    if not found:
        raise UsageError(f"no transcripts in {transcript_folder(agent)}: give a file as SESSION")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"which transcript of {agent}? The newest ones, and how to open them:", _commands(found))
    return _ask(found, sys.stdin, sys.stderr)


def _ask(found: Sequence[Transcript], answers: TextIO, out: TextIO) -> Path:
    out.writelines(f"{number:>3}  {_line(one)}\n" for number, one in enumerate(found, 1))
    while True:
        out.write(f"which one? 1-{len(found)}, Enter for 1, q to quit: ")
        out.flush()
        answer = answers.readline()
        chosen = answer.strip() or "1"
        if not answer or chosen == "q":
            raise UsageError("no transcript chosen")
        if chosen.isdecimal() and 1 <= int(chosen) <= len(found):
            return found[int(chosen) - 1].path


def _commands(found: Sequence[Transcript]) -> list[str]:
    return [line for one in found for line in (_line(one), f"    memscope {shlex.quote(str(one.path))}")]


def _line(one: Transcript) -> str:
    """Return a transcript on one line: when it was last written, its size, its project and its title."""
    when = datetime.fromtimestamp(one.modified).astimezone().strftime("%Y-%m-%d %H:%M")
    project = fit(_from_home(one.project), _PROJECT_CELLS)
    return f"{when}  {_size(one.size):>8}  {project}  {shorten(one.title, _TITLE_CELLS)}".rstrip()


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 2**10:.0f} kB"


def _from_home(folder: str) -> str:
    home = str(Path.home())
    shown = f"~{folder[len(home) :]}" if folder == home or folder.startswith(f"{home}/") else folder
    line = one_line(shown)
    return line if len(line) <= _PROJECT_CELLS else f"…{line[1 - _PROJECT_CELLS :]}"
