"""Load a session file in any supported format."""

from __future__ import annotations

import gc
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead
from memscope.session.formats.registry import choose_format
from memscope.session.nodes import Session
from memscope.session.text import responses

if TYPE_CHECKING:
    from memscope.session.detectors import Detector

__all__ = ["FILE_LIMIT", "load_session", "problems"]

_BOM = b"\xef\xbb\xbf"
_SNIFFED = 4096

FILE_LIMIT = 512 * 2**20
"""Maximum size of a session file in bytes."""


def load_session(
    path: str | Path,
    *,
    rules: Collection[str] | None = None,
    pattern: str | None = None,
    source_format: str | None = None,
    project: str | Path | None = None,
    pick: str | None = None,
) -> Session:
    """Read a session file.

    Args:
        path: The file.
        rules: Names of the memory rules to apply; None for those that are applied by default.
        pattern: The user's memory pattern; see `memscope.session.detectors`.
        source_format: The name of the file's format; by default it is determined from the content.
        project: The folder of the project, to read memory files from that an agent's transcript lacks.
        pick: The id of the conversation to read from a file that holds several; None for the first with memories and
            responses.

    Raises:
        SessionError: The file is not a valid session; the message says where and what was expected.
        UsageError: The name of a rule or format is unknown, the pattern is invalid, the project is not a folder, or the
            file has no conversation to pick with this id.
    """
    name = str(path)

    def new_detector() -> Detector:
        from memscope.session.detectors import Detector  # imported lazily to keep the first paint fast

        return Detector(rules, pattern)

    if rules is not None or pattern:
        new_detector()  # report an unknown rule whatever the file contains
    data = _bytes(Path(path), name).removeprefix(_BOM)
    with _collection_paused():
        return choose_format(data, name, source_format, project, pick).read(data, name, new_detector)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause garbage collection, which takes a third of the time of reading a big file and finds nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _bytes(path: Path, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SessionError(f"{name}: a directory, expected a session file")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise SessionError(f"{name}: a device or a socket, expected a session file")
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        raise SessionError(f"{name}: no such file") from None
    except OSError as error:
        raise SessionError(f"{name}: cannot be read: {error.strerror}") from error
    except ValueError:
        raise SessionError(f"{name!r}: not a file name") from None
    if len(data) > FILE_LIMIT:
        raise SessionError(f"{name}: too large, the limit is {FILE_LIMIT // 2**20} MiB")
    if not data.removeprefix(_BOM).strip():
        raise SessionError(f"{name}: empty, expected a session file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SessionError(f"{name}: UTF-16 text, expected UTF-8: convert it first")
    if b"\0" in data[:_SNIFFED] and not FileHead(data).is_zip:
        raise SessionError(f"{name}: binary, expected a session file in JSON Lines or JSON")
    return data


def problems(session: Session) -> tuple[str, ...]:
    """Return the reasons why a session cannot be scored, one line each."""
    found = []
    if not session.memory_keys():
        found.append("no memories found: nothing to leave out")
    if next(responses(session), None) is None:
        why = "no call returned any text" if session.calls else "no assistant turn in the conversation has any text"
        found.append(f"no responses found: {why}")
    return tuple(found)
