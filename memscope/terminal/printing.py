"""Write command output to stdout: exact for programs, safe on a terminal.

If stdout cannot encode all characters, `memscope.terminal.streams` replaces them in text; JSON is escaped here.
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
"""Characters that terminals interpret and that JSON does not require to be escaped."""

_NOT_ASCII = re.compile("[^\x00-\x7e]")


def print_json(value: Any) -> None:
    """Print a value as JSON on one line."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a file name may be invalid Unicode, decoded with surrogate escapes
        text = json.dumps(msgspec.to_builtins(value))
    print_json_text(text + "\n")


def print_json_text(text: str) -> None:
    """Print JSON or JSON Lines.

    Characters that a terminal would interpret are escaped, and all non-ASCII ones if stdout cannot encode Unicode;
    this does not change any value.
    """
    escaped = _TERMINAL_CONTROLS if writes_unicode(sys.stdout) else _NOT_ASCII
    print_text(escaped.sub(lambda found: _escape(found[0]), text))


def print_csv(text: str) -> None:
    """Print CSV: unchanged to a file or pipe, with control characters made visible on a terminal."""
    print_text(visible(text) if sys.stdout.isatty() else text)


def print_text(text: str) -> None:
    """Print text that is safe for a terminal.

    Raises:
        BrokenPipeError: The reader has closed the pipe.
        StoreError: The output cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Do not try to flush the remaining buffer again on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise StoreError(f"the output cannot be written: {error.strerror or error}") from error


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
