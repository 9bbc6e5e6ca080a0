"""`memscope convert`: write a session of any format in the native one, for editing."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import msgspec

from memscope.commands.opening import load_configured_session
from memscope.config import Config
from memscope.session.append_only import append_only
from memscope.session.formats.native_writer import write_native
from memscope.session.nodes import Session
from memscope.session.text import responses
from memscope.terminal.counts import counted
from memscope.terminal.printing import print_json_text
from memscope.terminal.safe import one_line
from memscope.training.exports import check_destination, write_atomically

__all__ = ["convert"]

_ID_BYTES = 4


def convert(path: str | None, config: Config, destination: str, *, thread: int | None = None, force: bool) -> int:
    """Write a session in the native format.

    The new file is a session of its own, with an id of its own: marks made in one do not count in the other.

    Args:
        path: The session file; None for the demo.
        config: All options.
        destination: The output file; "-" for stdout.
        thread: The thread to keep, if the session has several; None for the one with most responses.
        force: Overwrite an existing file.

    Raises:
        SessionError: The file cannot be read, or cannot be written in the native format.
        UsageError: The output file exists or cannot be written, or there is no such thread.
    """
    file = None if destination == "-" else Path(destination).expanduser()
    if file is not None:
        check_destination(file, force=force)
    original = load_configured_session(path, config)
    converted, left_out = append_only(original, thread)
    text = write_native(_with_new_id(converted)).decode()
    if file is None:
        print_json_text(text)
    else:
        write_atomically(file, text, force=force)
    for line in (*original.source.notes, *left_out):
        _say(line)
    _say(f"{_contents(converted)} written to {file.resolve() if file else 'stdout'}")
    return 0


def _with_new_id(session: Session) -> Session:
    header = msgspec.structs.replace(session.header, id=f"{session.header.id}-{secrets.token_hex(_ID_BYTES)}")
    return msgspec.structs.replace(session, header=header)


def _contents(session: Session) -> str:
    memories = counted(len(session.memory_keys()), "memory", "memories")
    return f"{memories} and {counted(sum(1 for _ in responses(session)), 'response')}"


def _say(line: str) -> None:
    sys.stderr.write(f"memscope: {one_line(line)}\n")
