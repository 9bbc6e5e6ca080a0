"""Decode JSON for all session formats, with consistent error messages.

If an object has a name twice, the last one counts, as in most JSON parsers. `NaN` and `Infinity` are not
JSON.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.limits import DEPTH_LIMIT, nests_deeper

__all__ = ["parse_json"]

_ESCAPED_HALF = re.compile(
    rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))|"
    rb"(?<!\\)(?:\\\\)*(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_POSITION = re.compile(r" \(byte (\d+)\)$")


def parse_json(data: bytes, name: str, line: int = 1) -> Any:
    """Decode one JSON value.

    Args:
        data: UTF-8 without a byte order mark.
        name: The file name, for error messages.
        line: The number of the line on which the data begins.

    Raises:
        SessionError: It is not JSON; the error names line and byte, both counted from 1.
    """
    try:
        data.decode("utf-8")
        value = msgspec.json.decode(data)
    except UnicodeDecodeError as error:
        raise SessionError(_at(data, error.start, name, line, "not UTF-8")) from error
    except msgspec.DecodeError as error:
        raise SessionError(_malformed(data, str(error), name, line)) from error
    except RecursionError as error:
        raise SessionError(_too_deep(name, line)) from error
    if data.count(b"[") + data.count(b"{") > DEPTH_LIMIT and nests_deeper(value, DEPTH_LIMIT):
        raise SessionError(_too_deep(name, line))
    return value


def _too_deep(name: str, line: int) -> str:
    return f"{name}:{line}: nested too deeply, the limit is {DEPTH_LIMIT} lists and objects inside each other"


def _malformed(data: bytes, reason: str, name: str, line: int) -> str:
    if b"\\u" in data and (half := _ESCAPED_HALF.search(data)):  # the search is slow in a big file
        return _at(data, half.start(1 if half[1] else 2), name, line, "not text: half of a surrogate pair")
    if position := _POSITION.search(reason):
        return _at(data, int(position[1]), name, line, f"not JSON: {reason[: position.start()]}")
    return f"{name}:{line}: not JSON: {reason}"


def _at(data: bytes, offset: int, name: str, line: int, what: str) -> str:
    before, end = data[:offset], b"\n"
    return f"{name}:{line + before.count(end)}: {what} at byte {offset - before.rfind(end)} of the line"
