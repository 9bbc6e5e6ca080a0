"""Copy text over ssh and in tmux, and report what was done.

The terminal may silently ignore the OSC 52 sequence, so the text is also written to a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from textual.app import App

from memscope.store.private import make_private_folder, open_private

__all__ = ["FILE_NAME", "copy"]

FILE_NAME = "clipboard.txt"


def copy(app: App[int], text: str, folder: Path) -> str:
    """Copy a text and return a message about where it is.

    Args:
        app: The app that owns the terminal.
        text: The original text, not its displayed form.
        folder: The folder of the file, which only its owner can read.
    """
    data = text.encode("utf-8", "replace")
    app.copy_to_clipboard(data.decode())
    said = f"copied {len(text)} characters to the terminal's clipboard, if it supports that"
    if os.environ.get("TMUX"):
        said += " (tmux: set -g set-clipboard on)"
    try:
        make_private_folder(folder)
        with open(folder / FILE_NAME, "wb", opener=open_private) as file:
            file.write(data)
    except OSError as error:
        return f"{said}; not to a file: {error.strerror}"
    return f"{said}; also in {folder / FILE_NAME}"
