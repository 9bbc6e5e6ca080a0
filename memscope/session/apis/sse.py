"""Server-sent events: the JSON objects in a streamed response."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

__all__ = ["StreamedObjects", "is_event_stream", "streamed_objects"]

_LINE_END = re.compile(r"\r\n|\n|\r")
_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
_DONE = "[DONE]"


class StreamedObjects(NamedTuple):
    """What a stream holds.

    Attributes:
        objects: The data of each event in order, up to the first one that is not a JSON object.
        damaged: Whether there is one that is not, other than the end mark of OpenAI's streams.
    """

    objects: list[dict[str, Any]]
    damaged: bool


def is_event_stream(body: bytes) -> bool:
    """Return whether a response's body is a stream of events, as far as its beginning tells."""
    return _BEGINNING.match(body) is not None


def streamed_objects(body: bytes) -> StreamedObjects:
    """Return the objects in a stream of events.

    An event that the stream does not end with a blank line is not dispatched, as the standard says; it is used
    nevertheless if it is whole, because the last event of a stream may lack the blank line.

    Args:
        body: The stream's bytes; bytes that are not UTF-8 are replaced.
    """
    objects: list[dict[str, Any]] = []
    events = _events(body)
    for data, closed in events:
        if data.strip() == _DONE:
            continue
        value = _object(data)
        if value is None:
            return StreamedObjects(objects, damaged=closed)
        objects.append(value)
    return StreamedObjects(objects, damaged=False)


def _events(body: bytes) -> list[tuple[str, bool]]:
    """Return the data of each event, and whether a blank line ends it."""
    events: list[tuple[str, bool]] = []
    data: list[str] = []
    for line in _LINE_END.split(body.decode("utf-8-sig", "replace")):
        field, _, value = line.partition(":")
        if line and field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            events.append(("\n".join(data), True))
            data = []
    return [*events, ("\n".join(data), False)] if data else events


def _object(data: str) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
