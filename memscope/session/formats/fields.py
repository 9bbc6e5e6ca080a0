"""Access to the fields of JSON objects in session files, with consistent error messages."""

from __future__ import annotations

import json
from typing import Any

from memscope.errors import SessionError

__all__ = ["Fields", "checked_content", "field_error"]

_SHOWN_CHARACTERS = 60


class Fields:
    """The fields of one JSON object, taken one by one; the remaining ones are `extra`."""

    def __init__(self, value: Any, where: str, path: str = "") -> None:
        self._where, self._path = where, path
        if not isinstance(value, dict):
            raise self.error(None, "a JSON object", value)
        self._left = dict(value)

    def take(self, name: str, kind: type, expected: str, default: Any = ...) -> Any:
        """Take a field of one type; if it is absent or null, return the default, if there is one."""
        value = self._left.pop(name, None)
        if value is None and default is not ...:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(name, expected, value)
        return value

    def text(self, name: str, *, empty: bool = True) -> str:
        """Take a string."""
        value: str = self.take(name, str, "a string" if empty else "a non-empty string")
        if not value and not empty:
            raise self.error(name, "a non-empty string", value)
        return value

    def pop(self, name: str) -> Any:
        """Take a field of any type; None if it is absent."""
        return self._left.pop(name, None)

    @property
    def extra(self) -> dict[str, Any]:
        """The fields that were not taken."""
        return self._left

    def child(self, name: str, index: int, value: Any) -> Fields:
        """Return the fields of an object inside a list field."""
        return Fields(value, self._where, f"{self._path}{name}[{index}].")

    def error(self, name: str | None, expected: str, value: Any) -> SessionError:
        """Return the error for a field, or for the object itself."""
        field = f"{self._path}{name}" if name else self._path.rstrip(".")
        return field_error(self._where, field, expected, value)


def checked_content(content: Any, where: str, field: str = "content") -> Any:
    """Return a message's content, if it is a string, a list of strings and objects, or absent.

    Raises:
        SessionError: It is not; the error names the field.
    """
    if content is not None and not isinstance(content, str | list):
        raise field_error(where, field, "a string or a list of blocks", content)
    for number, block in enumerate(content if isinstance(content, list) else []):
        if not isinstance(block, str | dict):
            raise field_error(where, f"{field}[{number}]", "a string or a block", block)
    return content


def checked_messages(messages: Any, where: str) -> list[Any]:
    """Return the messages of a body or document, each of which is still to be checked.

    Raises:
        SessionError: They are not a list.
    """
    if not isinstance(messages, list):
        raise field_error(where, "messages", "a list of messages", messages)
    return messages


def field_error(where: str, field: str, expected: str, value: Any) -> SessionError:
    """Return the error for an invalid field.

    Args:
        where: File and line, or file and message.
        field: Path of the field; "" for the whole value.
        expected: What it should be.
        value: What it is; None if it is missing.
    """
    got = "nothing" if value is None else _shown(value)
    named = f"field {field!r}: " if field else ""
    return SessionError(f"{where}: {named}expected {expected}, got {got}")


def _shown(value: Any) -> str:
    shown = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 1] + "…"
