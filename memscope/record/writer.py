"""Append calls to a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["RecordingWriter", "new_recording"]


class RecordingWriter:
    """Appends calls to one recording; may be used from several threads.

    Attributes:
        path: The file.
        calls: How many calls were written.
    """

    def __init__(
        self, path: Path, *, title: str = "", client: str = "", on_problem: Callable[[str], None] | None = None
    ) -> None:
        """Create the file with its header, or continue a recording that is there.

        Args:
            path: The file; its folder must exist.
            title: The title of the recording.
            client: The command that makes the calls, for the header.
            on_problem: Called with one line for each kind of problem, once.

        Raises:
            SessionError: The file cannot be created, is in use, or is not a recording.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; calls that finish later are dropped."""
        raise NotImplementedError


def new_recording(folder: Path) -> Path:
    """Return the path of a new recording in a folder, `YYYY-MM-DD-HHMMSS-xxxx.jsonl`; the file is created.

    Args:
        folder: The recordings folder; it is created, readable by its owner alone.

    Raises:
        SessionError: It cannot be created.
    """
    raise NotImplementedError
