"""What hypothesis draws sessions, messages and texts from."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from memscope.session.nodes import (
    SECTIONS,
    Branch,
    Content,
    Header,
    Leaf,
    Log,
    Memory,
    Node,
    Section,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
)

QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""The same few examples in every run."""

TEXTS = st.text(max_size=12)
NAMES = st.text(min_size=1, max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
EXTRA = st.dictionaries(st.sampled_from(["note", "id_of_run", "ünïcode", ""]), JSON, max_size=2)
TIMES = st.none() | st.sampled_from(["2026-11-20T10:00:00Z", "2024-02-29T23:59:60.123456+05:30"])


def leaves(section: Section) -> st.SearchStrategy[Leaf]:
    place = {"section": st.just(section), "extra": EXTRA}
    return st.one_of(
        *(st.builds(kind, text=TEXTS, **place) for kind in (Content, Thinking, ToolResult, Log)),
        st.builds(Memory, key=NAMES, text=TEXTS, **place),
        st.builds(ToolCall, name=NAMES, arguments=JSON, **place),
    )


def _nodes(section: Section) -> st.SearchStrategy[Node]:
    children = st.lists(leaves(section), max_size=3).map(tuple)
    branch = st.builds(Branch, role=NAMES, children=children, timestamp=TIMES, section=st.just(section), extra=EXTRA)
    return leaves(section) | branch


NODES = st.sampled_from(SECTIONS).flatmap(_nodes)
SESSIONS = st.builds(
    Session,
    header=st.builds(Header, id=NAMES, title=TEXTS, model=TEXTS, extra=EXTRA),
    nodes=st.lists(NODES, max_size=5).map(tuple),
)

PIECES = (
    '<memory key="a/b">', "<memory>", "</memory>", "User Memories:\n", "- likes tea\n", "\n", " ", "x",
    "- Relevant Memories/Facts: ", "- Entities: []\n", "<relevant-memories>\n", "</relevant-memories>",
    "<memory_blocks>\n", "</memory_blocks>", "<human>", "</human>", "<value>", "</value>\n", "<self>", "</self>",
    "<projection>", "$MEMORY_DIR/system/human.md", "</projection>", "<FACTS>", "</FACTS>", "[", "]", '{"fact": "tea"}',
    ",", '{"uuid":"u1","fact":', "{", "}", '"\\ud800"', "<USER_SUMMARY>", "</USER_SUMMARY>", "<memories>",
    "</memories>", "<|im_end|>", "é", "\r\n", "1. one\n", "key=note:text;",
    "## Memories\n", "**Notes:**\n", "Facts:\n", "### Rules\n", "  - part of it\n", "  more\n", "and more\n", "```\n",
    "# Model Set Context\n", "1. [2026-01-01]. Likes tea.\n", "<system-reminder>\n", "</system-reminder>\n",
    "Contents of /home/mira/work/CLAUDE.md (project instructions):\n", "# currentDate\n", "<user_preferences>\n",
)  # fmt: skip
PROMPTS = st.lists(st.sampled_from(PIECES) | TEXTS, max_size=25).map("".join)
"""Texts made of the shapes that rules look for, whole, broken and nested."""

_BLOCKS = st.lists(
    st.one_of(
        PROMPTS,
        st.fixed_dictionaries({"type": st.just("text"), "text": PROMPTS}),
        st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS, "memory": st.just({"key": "marked"})}),
    ),
    max_size=3,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
            "content": PROMPTS | _BLOCKS,
        },
        optional={
            "memory": st.just({"key": "whole"}),
            "tool_call_id": st.sampled_from(["c1", "c2"]),
            "name": st.sampled_from(["search_memory", "sh"]),
            "note": JSON,
        },
    ),
    max_size=4,
)
