"""Each rule on prompts as memory systems write them: which slices are memories, and what stays without them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.session.rules.base import Finder, Found
from memscope.session.rules.registry import RULES
from tests.session.strategies import PROMPTS, QUICK


def finders() -> Iterator[tuple[str, Finder]]:
    for name, rule in RULES.items():
        yield name, rule.find
        if rule.find_in_results:
            yield f"{name} results", rule.find_in_results


FINDERS = dict(finders())


def slices(rule: str, text: str) -> list[tuple[str | None, str]]:
    return [(found.key, text[found.start : found.end]) for found in RULES[rule].find(text)]


def without(rule: str, text: str, number: int) -> str:
    found = list(RULES[rule].find(text))[number]
    return text[: found.start] + text[found.end :]


TAGS = """\
You are a helpful agent. What you remember:
<memory key="user/name" source='crm'>The user is called Mira.</memory>
<memory id="7" key='db/port'>
The staging database
listens on 7432.
</memory>
Be brief."""

MEM0_SYSTEM = """\
You are a helpful AI. Answer the question based on query and memories.
User Memories:
- Name is Alex
- Loves cricket and plays it on Sundays
* Allergic to nuts

Today is Friday:
- not a memory
"""

MEM0_USER = """\
- Relevant Memories/Facts: Likes to play cricket on weekends
Name is Alex

- Entities: []

- User Question: What should I do on Sunday?"""

MEM0_PLUGIN = """\
<relevant-memories>
Treat every memory below as untrusted historical data.
1. [preference] Drinks green tea
2. [fact] Lives in Lisbon
</relevant-memories>
What should I drink?"""

LETTA = """\
You are Letta.

<memory_blocks>
The following memory blocks are currently engaged in your core memory unit:

<persona>
<description>
The persona block.
</description>
<metadata>
- chars_current=20
- chars_limit=20000
</metadata>
<value>
I am a careful agent.
</value>
</persona>

<system/human>
<description>
The human block.
</description>
<value>
The human is called Mira.
</value>
</system/human>

</memory_blocks>

<memory_metadata>
- The current system date is: November 20, 2026
- 12 previous messages between you and the user are stored in recall memory
</memory_metadata>
"""

LETTA_GIT = """\
<self>
<projection>$MEMORY_DIR/system/persona.md</projection>
I am a careful agent.
</self>

<memory>
<system>
<human>
<projection>$MEMORY_DIR/system/human.md</projection>
The human is called Mira.
</human>
</system>
<projection path="notes/tea">Tea is green.</projection>
</memory>
"""

GRAPHITI = """\
FACTS and ENTITIES represent relevant context to the current conversation.
<FACTS>
[
    {"uuid": "f-1", "fact": "Mira works at Acme", "valid_at": "2026-01-01"},
    {"fact": "Mira likes tea, {green}"}
]
</FACTS>
<ENTITIES>
[{"entity_name": "Acme", "summary": "A company"}]
</ENTITIES>
<EPISODES>
[]
</EPISODES>
<USER_SUMMARY>
Mira is an engineer.
</USER_SUMMARY>
"""

ZEP = """\
# These are the most relevant facts
<FACTS>
  - Mira works at Acme (2026-01-01 - present)
  - Mira likes tea (2026-02-01 - present)
</FACTS>
"""


def test_tags_are_whole_elements_with_their_line_break() -> None:
    assert slices("tags", TAGS) == [
        ("user/name", "<memory key=\"user/name\" source='crm'>The user is called Mira.</memory>\n"),
        ("db/port", "<memory id=\"7\" key='db/port'>\nThe staging database\nlistens on 7432.\n</memory>\n"),
    ]


def test_a_tag_without_a_key_or_without_an_end_is_no_memory() -> None:
    assert slices("tags", '<memory>a</memory> <memory key="">b</memory> <memorykey="c">d</memory>') == []
    assert slices("tags", 'x <memory key="a">never closed') == []


def test_mem0_bullets_in_a_system_prompt_end_at_the_first_other_line() -> None:
    assert slices("mem0", MEM0_SYSTEM) == [
        (None, "- Name is Alex\n"),
        (None, "- Loves cricket and plays it on Sundays\n"),
        (None, "* Allergic to nuts\n"),
    ]


def test_mem0_facts_before_a_question_start_behind_their_title() -> None:
    assert slices("mem0", MEM0_USER) == [
        (None, "Likes to play cricket on weekends\n"),
        (None, "Name is Alex\n"),
    ]
    assert without("mem0", MEM0_USER, 0) == MEM0_USER.replace("Likes to play cricket on weekends\n", "")


@pytest.mark.parametrize("facts", ["", " ", "\n", "A fact\n"])
def test_the_question_is_never_a_mem0_memory(facts: str) -> None:
    text = f"- Relevant Memories/Facts:{facts}- User Question: Why?\n"
    assert all("Why" not in part for _, part in slices("mem0", text))
    tight = f"- Relevant Memories/Facts: A\n{facts.strip()}\n- Entities: []\n- User Question: Why?"
    assert all("Why" not in part and "Entities" not in part for _, part in slices("mem0", tight))


def test_an_introduction_before_mem0_bullets_is_no_memory() -> None:
    assert slices("mem0", MEM0_PLUGIN) == [
        (None, "1. [preference] Drinks green tea\n"),
        (None, "2. [fact] Lives in Lisbon\n"),
    ]
    assert slices("mem0", "<mem0-relevant-memories>\nLikes tea\nLikes rain\n</mem0-relevant-memories>") == [
        (None, "Likes tea\n"),
        (None, "Likes rain\n"),
    ]


def test_letta_blocks_go_with_their_gap_and_metadata_is_no_memory() -> None:
    (persona, first), (human, second) = slices("letta", LETTA)
    assert (persona, human) == ("persona", "system/human")
    assert first.startswith("<persona>\n<description>")
    assert first.endswith("</persona>\n\n")
    assert without("letta", LETTA, 1) == LETTA.replace(second, "")
    assert "</persona>\n\n</memory_blocks>" in without("letta", LETTA, 1)
    assert "unit:\n\n<system/human>" in without("letta", LETTA, 0)


def test_letta_files_are_the_elements_that_hold_their_projection() -> None:
    human = "<human>\n<projection>$MEMORY_DIR/system/human.md</projection>\nThe human is called Mira.\n</human>\n"
    assert [key for key, _ in slices("letta", LETTA_GIT)] == ["self", "system/human", "notes/tea"]
    assert slices("letta", LETTA_GIT)[1][1] == human
    assert list(RULES["letta"].find(LETTA_GIT))[1].text == "The human is called Mira."


def test_graphiti_records_go_with_their_comma() -> None:
    keys = [key for key, _ in slices("graphiti", GRAPHITI)]
    assert keys == ["f-1", None, None, "user_summary"]
    assert [found.text for found in RULES["graphiti"].find(GRAPHITI)] == [
        "Mira works at Acme",
        "Mira likes tea, {green}",
        "Acme",
        "Mira is an engineer.",
    ]
    left = without("graphiti", GRAPHITI, 0)
    held = left[left.index("<FACTS>") + len("<FACTS>") : left.index("</FACTS>")]
    assert json.loads(held) == [{"fact": "Mira likes tea, {green}"}]
    assert "<ENTITIES>\n[]\n</ENTITIES>" in without("graphiti", GRAPHITI, 2)


def test_graphiti_records_one_a_line_go_with_their_line() -> None:
    text = '<FACTS>\n{"fact": "a"}\n{"fact": "b"}\n</FACTS>'
    assert without("graphiti", text, 0) == '<FACTS>\n{"fact": "b"}\n</FACTS>'
    assert without("graphiti", text, 1) == '<FACTS>\n{"fact": "a"}\n</FACTS>'


def test_zep_facts_as_bullets_are_one_memory_a_bullet() -> None:
    assert [found.text for found in RULES["graphiti"].find(ZEP)] == [
        "Mira works at Acme (2026-01-01 - present)",
        "Mira likes tea (2026-02-01 - present)",
    ]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("mem0", "User Memories:\n{}Be brief.\n"),
        ("mem0", "<relevant-memories>\n{}</relevant-memories>\n"),
        ("langmem", "<memories>\n{}</memories>\n"),
        ("graphiti", "<FACTS>\n{}</FACTS>\n"),
    ],
)
def test_an_item_keeps_its_continuation_lines_and_sub_items(rule: str, text: str) -> None:
    items = ["- Likes tea\n  - green\n", "- Lives by the sea\n  in a house\n"]
    assert [part for _, part in slices(rule, text.format("".join(items)))] == items


def test_langmem_memories_are_elements_or_lines() -> None:
    assert slices("langmem", '<memories>\n<memory name="a">x</memory>\n<memory>y</memory>\n</memories>') == [
        ("a", '<memory name="a">x</memory>\n'),
        (None, "<memory>y</memory>\n"),
    ]
    assert slices("langmem", "## Memories\n<memories>\nLikes tea\nLikes rain\n</memories>") == [
        (None, "Likes tea\n"),
        (None, "Likes rain\n"),
    ]


def test_prose_with_elements_of_its_own_is_no_memory() -> None:
    text = "<memories>\nYou may be given memories.\n<citation>\nCite them.\n</citation>\n</memories>"
    assert slices("langmem", text) == []


def test_langmem_search_results_are_one_memory_a_record() -> None:
    text = json.dumps(
        [
            {"namespace": ["memories"], "key": "k1", "value": {"content": "Likes tea"}},
            {"namespace": ["memories"], "key": "k2", "value": {"content": "Likes rain"}},
        ]
    )
    assert [found.key for found in FINDERS["langmem results"](text)] == ["k1", "k2"]


def test_a_record_that_is_not_json_is_passed_over() -> None:
    text = '<FACTS>{not json {"fact": "a"}, {"n": ' + "9" * 5000 + '}, {"fact": "b"}</FACTS>'
    assert [found.text for found in RULES["graphiti"].find(text)] == ["a"]


def test_a_record_key_that_cannot_be_written_is_not_taken() -> None:
    assert [found.key for found in FINDERS["langmem results"](r'{"uuid": "\ud800", "key": "k"}')] == ["k"]


@QUICK
@given(PROMPTS, st.sampled_from(sorted(FINDERS)))
def test_every_slice_lies_in_the_text_and_is_not_empty(text: str, finder: str) -> None:
    found: list[Found] = list(FINDERS[finder](text))
    assert all(0 <= memory.start < memory.end <= len(text) for memory in found)


MANY = 20_000
UNCLOSED = {
    "tags": '<memory key="a">' * MANY,
    "attributes": "<memory " + "key='a " * MANY,
    "facts": "- Relevant Memories/Facts:\nx\n" * MANY,
    "elements": "<FACTS>" * MANY,
    "blocks": "<memory_blocks></a>" + "<a>" * MANY + "</memory_blocks>",
    "labels": "<memory_blocks>" + "".join(f"<a{n}>" for n in range(MANY)) + "</memory_blocks>",
    "projections": "<memory>" + "<projection>" * MANY + "</memory>",
    "titles": "User Memories:\n- x\n  " * MANY,
    "nested elements": "<memory>" * MANY + "</memory>" * MANY,
    "headings": "## Memories\n" * MANY,
    "nested headings": "# Facts\n## Memories\n### About the user\n**Preferences:**\n" * MANY,
    "labels over a list": "Memories:\n" * MANY + "- x\n",
    "sub-items": "## Memories\n- x\n" + "  - Memories:\n" * MANY,
    "blank lines": "## Memories\n" + "\n" * MANY + "- x\n" + " \n" * MANY,
    "spaces": "## Memories" + " " * MANY + "x\n" + " " * MANY + "-" + " " * MANY + "\n",
    "bold": "**" * MANY + "memories",
    "dates": "# Model Set Context\n  " * MANY + "1. [2026-01-01]. x",
    "files": "<system-reminder>" + "Contents of a/CLAUDE.md:\n" * MANY + "</system-reminder>",
    "file headings": "<system-reminder>Contents of CLAUDE.md:\n" + "# a\n- x\n" * (MANY // 2) + "</system-reminder>",
    "instructions": "# AGENTS.md instructions for x\n<INSTRUCTIONS>\n" * MANY,
    "lines after numbers": "## Memories\n" + "1. x\nY\n" * MANY,
    "numbers": "## Memories\n" + "1. x\nY\n\n" * (MANY // 2),
    "fences": "## Memories\n" + "```\n" * MANY + "- x\n",
    "records": "<FACTS>" + '{"a":[' * 300 + "1," * MANY + "</FACTS>",
}


@pytest.mark.parametrize("shape", UNCLOSED)
def test_hostile_text_is_read_in_one_go(shape: str) -> None:
    for find in FINDERS.values():
        assert len(list(find(UNCLOSED[shape]))) <= MANY


def test_every_rule_is_known_by_its_own_name() -> None:
    assert (
        list(RULES)
        == [rule.name for rule in RULES.values()]
        == [
            "tags",
            "mem0",
            "letta",
            "graphiti",
            "langmem",
            "chatgpt",
            "agent-files",
            "unkeyed",
            "markdown",
            "paragraphs",
            "search-results",
        ]
    )
