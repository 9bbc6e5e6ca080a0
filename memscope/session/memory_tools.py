"""Which tools search an agent's memories."""

from __future__ import annotations

import re

__all__ = ["searches_memories"]

_VERBS = "search|recall|retrieve|query|find|lookup"
_SEARCH = re.compile(
    rf"(?:(?:{_VERBS})[\W_]*(?:\w+[\W_]+)?memor(?:y|ies)|memor(?:y|ies)[\W_]*(?:{_VERBS}|retrieval))\Z", re.IGNORECASE
)
_LOOKED_AT = 80
"""How much of a name's end is looked at: a name may be of any length."""


def searches_memories(name: object) -> bool:
    """Return whether a tool's name ends by saying so: `search_memory`, `mcp__mem0__search_memories`, `memory.query`."""
    return isinstance(name, str) and _SEARCH.search(name[-_LOOKED_AT:]) is not None
