"""What commands write to stdout: exact where a program reads it, harmless where a person does."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import msgspec

from memscope.errors import StoreError
from memscope.terminal.safe import visible

__all__ = ["print_csv", "print_json", "print_text"]

_OBEYED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What terminals obey and JSON text may hold as it is."""


def print_json(value: Any) -> None:
    """Print JSON on one line; characters that a terminal would obey are escaped, which changes no value."""
    text = msgspec.json.encode(value).decode()
    print_text(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


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
