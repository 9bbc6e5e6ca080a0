"""The session formats, and how the format of a file is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import cast

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, SessionFormat
from memscope.session.json_text import parse_json

__all__ = ["all_formats", "format_of"]

_MODULES = (
    "native",
    "chat_lines",
    "chat",
)
"""The modules of the formats, in the order in which they are tried. A module is imported when it is tried: native
sessions come first, because they must load before the first paint."""


def all_formats() -> Iterator[SessionFormat]:
    """Yield every format, in the order in which they are tried."""
    for module in _MODULES:
        yield cast(SessionFormat, import_module(f"memscope.session.formats.{module}").FORMAT)


def format_of(data: bytes, name: str) -> SessionFormat:
    """Return the format of a file, based on its content, not its name.

    Args:
        data: The bytes of the file, without a byte order mark.
        name: The file name, for error messages.

    Raises:
        SessionError: No format recognises it.
    """
    head = FileHead(data)
    for one in all_formats():
        if one.recognises(head):
            return one
    if head.first is None:
        parse_json(data, name)  # raises where it is not JSON at all
    expected = ", ".join(one.expected for one in all_formats())
    raise SessionError(f"{name}: is JSON but not a session: expected {expected}")
