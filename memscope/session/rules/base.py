"""What a memory rule is: a function from a text to the slices in it that are memories.

A slice is what is left out when its memory is: the whole bullet, element or record with what separates it from the
next, so that the rest reads as it would have without that memory. Of a JSON list's records the last one has no comma of
its own: leaving out that one alone leaves the comma before it.

Text comes from anywhere, so each rule takes time in proportion to its length: closing tags are looked up rather than
matched by backtracking, and a record that does not parse is not parsed again from within.

To add a rule, write a module in this folder with a `RULE`, and add it to `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

__all__ = ["Finder", "Found", "MemoryRule"]


class Found(NamedTuple):
    """One memory in a text: [start, end) in characters, its key, or None to make one from `text`."""

    start: int
    end: int
    key: str | None
    text: str


Finder: TypeAlias = Callable[[str], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """One shape of memories.

    Attributes:
        name: What the user calls it.
        find: Finds them in the text of any message.
        find_in_results: Finds them in what a `search_memory` tool returned; None where that is any other message.
    """

    name: str
    find: Finder
    find_in_results: Finder | None = None
