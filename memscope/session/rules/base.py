"""The interface of a memory rule: a function that finds the slices of a text that are memories.

A slice is the text to leave out for a memory: the whole bullet, element or record and the separator after it, so that
the rest reads as it would have without that memory. The last record of a JSON list has no comma after it: leaving it
out keeps the comma before it.

Texts are untrusted, so each rule runs in time proportional to the length: closing tags are searched for rather than
matched by backtracking, and a record that does not parse is not parsed again from inside.

To add a rule, write a module in this folder with a `RULE` and list it in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

__all__ = ["ORIGINS", "Finder", "Found", "MemoryRule", "Origin"]

Origin: TypeAlias = Literal["system", "user", "tool"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
"""Where a text comes from: the system prompt, a user's message, the result of a tool."""


class Found(NamedTuple):
    """One memory in a text.

    Attributes:
        start: Where its slice begins, in characters.
        end: Where its slice ends.
        key: Its key; None to derive one from `text`.
        text: What it says.
        under: Put before a derived key.
    """

    start: int
    end: int
    key: str | None
    text: str
    under: str = ""


Finder: TypeAlias = Callable[[str], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """A rule for one memory format.

    Attributes:
        name: Its name in the options.
        find: Finds memories in the text of any message.
        find_in_results: Finds memories in results of memory searches; None if `find` handles those too.
        origins: The texts to search. A rule for a common shape, such as a list, does not search results of tools.
        by_default: Whether it is applied unless rules are named.
        numbered: Whether a derived key is a number rather than the first words.
    """

    name: str
    find: Finder
    find_in_results: Finder | None = None
    origins: tuple[Origin, ...] = ORIGINS
    by_default: bool = True
    numbered: bool = False

    def found_in(self, text: str, origin: Origin, *, search_results: bool = False) -> Iterator[Found]:
        """Yield the memories that the rule finds in a text.

        Args:
            text: The text.
            origin: Where it comes from.
            search_results: Whether it is the result of a memory search.
        """
        if origin in self.origins:
            find = self.find_in_results if search_results and self.find_in_results else self.find
            yield from find(text)
