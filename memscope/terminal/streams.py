"""The standard streams: opened where they were closed, and ready for every character before anything is written."""

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
"""What memscope itself writes beyond ASCII, in as many cells; anything else becomes an escape."""


def prepare_streams() -> None:
    """Make the standard streams fit for all that is written later.

    Closed ones get somewhere to go, so that no file that is opened later takes their place. Those whose encoding
    lacks characters write them as ASCII look-alikes or escapes instead of failing at the end of a long command.
    """
    codecs.register_error(_ERRORS, _replaced)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and not writes_unicode(stream):
            stream.reconfigure(errors=_ERRORS)


def writes_unicode(stream: TextIO) -> bool:
    """Whether a stream can write every character."""
    try:
        return codecs.lookup(stream.encoding or "ascii").name.startswith("utf")
    except LookupError:
        return False


def can_redraw(stream: TextIO) -> bool:
    """Whether a stream is a terminal that understands escape sequences."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII_LOOKALIKES)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
