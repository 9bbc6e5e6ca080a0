"""What commands write to stdout: exact where a program reads it, harmless where a person does.

Where stdout takes only some characters, `memscope.terminal.streams` replaces the others in text; JSON is escaped here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import msgspec

from memscope.errors import StoreError
from memscope.terminal.safe import visible
from memscope.terminal.streams import writes_unicode

__all__ = ["print_csv", "print_json", "print_json_text", "print_text"]

_TERMINAL_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What terminals obey and JSON text may hold as it is."""

_NOT_ASCII = re.compile("[^\x00-\x7e]")


def print_json(value: Any) -> None:
    """Print a value as JSON on one line."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a file's name need not be Unicode; its odd bytes are halves of surrogate pairs
        text = json.dumps(msgspec.to_builtins(value))
    print_json_text(text + "\n")


def print_json_text(text: str) -> None:
    """Print JSON or JSON Lines.

    Characters that a terminal would obey are escaped, and all beyond ASCII where stdout does not take Unicode; neither
    changes a value.
    """
    escaped = _TERMINAL_CONTROLS if writes_unicode(sys.stdout) else _NOT_ASCII
    print_text(escaped.sub(lambda found: _escape(found[0]), text))


def print_csv(text: str) -> None:
    """Print CSV: exact into a file or a pipe, made visible on a terminal."""
    print_text(visible(text) if sys.stdout.isatty() else text)


def print_text(text: str) -> None:
    """Print text that is fit for a terminal.

    Raises:
        BrokenPipeError: Whoever read it has left.
        StoreError: It cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered has nowhere to go, and must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise StoreError(f"the output cannot be written: {error.strerror or error}") from error


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
