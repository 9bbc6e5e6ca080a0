"""Prepare the standard streams: reopen closed ones, and handle characters they cannot encode."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TextIO

__all__ = ["can_redraw", "prepare_streams", "writes_unicode"]

_ERRORS = "memscope.ascii"
_ASCII_LOOKALIKES = str.maketrans(
    {"…": "~", "·": ".", "×": "x", "–": "-", "→": ">", "‹": "<", "›": ">", "±": "~", "│": "|"}
)
"""ASCII replacements of the same width for memscope's own non-ASCII characters; all others are escaped."""


def prepare_streams() -> None:
    """Make the standard streams safe to write to.

    Closed streams are reopened, so that no file opened later gets their descriptor. Streams with a limited encoding
    write ASCII look-alikes or escapes instead of failing at the end of a long command.
    """
    codecs.register_error(_ERRORS, _replaced)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and not writes_unicode(stream):
            stream.reconfigure(errors=_ERRORS)


def writes_unicode(stream: TextIO) -> bool:
    """Return whether a stream can encode every character."""
    try:
        return codecs.lookup(stream.encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


def can_redraw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that supports escape sequences."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII_LOOKALIKES)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
