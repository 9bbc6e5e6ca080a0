"""Which tools search memories: recognised by their name."""

from __future__ import annotations

import pytest

from memscope.session.memory_tools import searches_memories


@pytest.mark.parametrize(
    "name",
    [
        *("search_memory", "search_memories", "mcp__mem0__search_memories", "archival_memory_search", "memory.query"),
        *("recall_memory", "searchMemory", "find_user_memories", "memory-retrieval"),
    ],
)
def test_a_memory_search_is_recognised(name: str) -> None:
    assert searches_memories(name)


@pytest.mark.parametrize("name", ["manage_memory", "search", "find_memory_leak", "memory_usage", "", None, 7])
def test_any_other_tool_is_none(name: object) -> None:
    assert not searches_memories(name)
