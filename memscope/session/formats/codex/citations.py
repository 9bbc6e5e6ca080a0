"""Which memories an answer cites: the `<oai-mem-citation>` block that Codex has the model write.

<oai-mem-citation>
<citation_entries>
MEMORY.md:12-14|note=[the port]
</citation_entries>
<rollout_ids>…</rollout_ids>
</oai-mem-citation>
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

__all__ = ["Citation", "citations", "cited_keys"]

_OPEN, _CLOSE = "<oai-mem-citation>", "</oai-mem-citation>"
_ENTRY = re.compile(
    r"(?:^|>)[ \t]*(?P<path>[^\s|:<>][^|:<>\n]*):(?P<first>\d{1,9})(?:-(?P<last>\d{1,9}))?[ \t]*(?:\||$)", re.MULTILINE
)


class Citation(NamedTuple):
    """A cited part of a memory file: its path and its first and last line, counted from 1."""

    path: str
    first: int
    last: int


def citations(text: str) -> Iterator[Citation]:
    """Yield the citations in an answer."""
    at = 0
    while (start := text.find(_OPEN, at)) >= 0:
        end = text.find(_CLOSE, start)
        at = len(text) if end < 0 else end
        for entry in _ENTRY.finditer(text, start + len(_OPEN), at):
            first = int(entry["first"])
            yield Citation(entry["path"].strip().removeprefix("./"), first, int(entry["last"] or first))


def cited_keys(found: Iterable[Citation], keys: Mapping[str, range | None]) -> tuple[tuple[str, ...], int]:
    """Return the memories that are cited, and how many citations name none of them.

    Args:
        found: The citations.
        keys: The memories by key: the lines of their file that they hold, or None for a whole file. A key is the path
            of a file, and `#` and a heading if the memory is a section of it.
    """
    cited: dict[str, None] = {}
    unknown = 0
    for citation in found:
        named = [key for key, lines in keys.items() if _names(citation, key, lines)]
        cited |= dict.fromkeys(named)
        unknown += not named
    return tuple(cited), unknown


def _names(citation: Citation, key: str, lines: range | None) -> bool:
    path = key.split("#", 1)[0]
    if path != citation.path and not path.endswith(f"/{citation.path}"):
        return False
    return lines is None or (citation.first < lines.stop and lines.start <= citation.last)
