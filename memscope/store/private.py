"""Files that only their owner can read, since memscope's state contains the text of sessions and memories.

Everything in the state folder is created with these functions, whatever the umask: the folder has mode 0700, its files
0600. A folder chosen by the user that also holds other files keeps its mode; only memscope's files in it are
restricted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make_private_file", "make_private_folder", "open_private", "restrict_permissions"]

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600

_OWN_NAMES = ("memscope.db*", "debug.log*", "clipboard.txt", "tokenizers")
"""The names of memscope's files in its state folder."""


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible only to the owner; an existing folder keeps its mode.

    Raises:
        OSError: It cannot be created.
    """
    for path in (*reversed(folder.parents), folder):
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Create an empty file, accessible only to the owner; an existing file keeps its mode.

    An existing file is not opened, since closing a database file releases every lock this process holds on it.

    Raises:
        OSError: It cannot be created.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE))


def open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can read and return its descriptor; an `opener` for the built-in `open`.

    The mode of an existing file is restricted before anything is written to it, if the file system allows that.
    """
    descriptor = os.open(path, flags, _FILE_MODE)
    _close_to_others(Path(path))
    return descriptor


def restrict_permissions(folder: Path) -> list[Path]:
    """Restrict memscope's files in a state folder to their owner.

    The folder itself is restricted too if it holds only memscope's files. Links are not followed.

    Args:
        folder: An existing folder.

    Returns:
        Paths that remain accessible to others: they belong to another user, or the file system has no modes.

    Raises:
        OSError: The folder cannot be read.
    """
    entries = list(folder.iterdir())
    own = [entry for entry in entries if any(entry.match(name) for name in _OWN_NAMES)]
    found = [folder] if len(own) == len(entries) else []
    for path in own:
        found += (path, *_below(path))
    return [path for path in found if not _close_to_others(path)]


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, files in () if path.is_symlink() else os.walk(path):
        yield from (Path(folder, name) for name in (*folders, *files))


def _close_to_others(path: Path) -> bool:
    """Restrict a path and return whether only its owner can access it now."""
    try:
        mode = path.lstat().st_mode
        wanted = _FOLDER_MODE if stat.S_ISDIR(mode) else _FILE_MODE
        if stat.S_IMODE(mode) & ~wanted and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & wanted)
    except FileNotFoundError:  # another process has deleted it
        return True
    except OSError:
        return False
    return True
