"""Copying that works over ssh and in tmux, and says honestly what it did.

The terminal is asked with OSC 52, which it may ignore without a word; so the text is also kept in a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from textual.app import App

from memscope.store.private import make_private_folder, open_private

__all__ = ["FILE_NAME", "copy"]

FILE_NAME = "clipboard.txt"


def copy(app: App[int], text: str, folder: Path) -> str:
    """Copy a text and return a line that says where it is.

    Args:
        app: Whose terminal is asked.
        text: As it is, not as it is shown.
        folder: Where the file goes; readable by its owner only.
    """
    data = text.encode("utf-8", "replace")
    app.copy_to_clipboard(data.decode())
    said = f"copied {len(text)} characters to the terminal's clipboard, if it allows that"
    if os.environ.get("TMUX"):
        said += " (tmux: set -g set-clipboard on)"
    try:
        make_private_folder(folder)
        with open(folder / FILE_NAME, "wb", opener=open_private) as file:
            file.write(data)
    except OSError as error:
        return f"{said}; not to a file: {error.strerror}"
    return f"{said}; also in {folder / FILE_NAME}"
