"""Find JSON objects in a text, each of which is a memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from memscope.session.rules.base import Found

__all__ = ["records"]

_SEPARATOR = re.compile(r"[ \t]*,\s*(?=\{)|[ \t]*\n(?:[ \t]*(?=\{)|(?=</))|")


def records(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield each JSON object between two positions, including the comma or line break after it."""
    decoder = json.JSONDecoder()
    at = start
    while (at := text.find("{", at, end)) >= 0:
        try:
            record, stop = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            at = max(at + 1, error.pos)
            continue
        except (RecursionError, ValueError):  # nested too deeply, or a number with thousands of digits
            return
        if stop > end:
            return
        separator = _SEPARATOR.match(text, stop)
        last = min(end, separator.end()) if separator else stop
        yield Found(at, last, _record_key(record), _record_text(record))
        at = last


def _record_key(record: Mapping[str, Any]) -> str | None:
    values = (record.get(name) for name in ("uuid", "key", "id"))
    return next((value for value in values if isinstance(value, str) and value and _is_text(value)), None)


def _is_text(value: str) -> bool:
    """Return whether a string is valid Unicode: JSON escapes can produce halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _record_text(record: Mapping[str, Any]) -> str:
    for name in ("fact", "entity_name", "community_name", "name", "memory", "content", "text", "summary", "value"):
        if isinstance(value := record.get(name), str) and value:
            return value
    return json.dumps(record, ensure_ascii=False)
