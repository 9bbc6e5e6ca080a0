"""The rules for prompts that people write by hand: lists under headings, dated lists, memory files, bare elements."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.session.detectors import Detector
from memscope.session.rules.registry import RULES
from tests.session.strategies import QUICK


def memories(text: str, rule: str = "markdown") -> list[str]:
    return [text[found.start : found.end] for found in RULES[rule].find(text)]


def keys(text: str) -> list[str]:
    return [key for key, _ in Detector().split(text) if key is not None]


@pytest.mark.parametrize(
    "heading",
    [
        "## Memories",
        "# Memory",
        "###### What you know about the user ##",
        "**Memories:**",
        "**User preferences**:",
        "__Facts__",
        "Memories:",
        "Notes:",
        "Here are some facts about this customer:",
        "Use the following context:",
        "<user_memories>",
        "<preferences>",
        "What you know about the user (use naturally, don't recite; important):",
        "Relevant memories from past conversations:",
        "Long-term memory:",
        "Relevant memory content (in chronological order):",
        "<memories_from_previous_interactions>",
        "<working_memory_data>",
        "    ## Memories",
        "    MEMORIES:",
    ],
)
def test_items_under_a_heading_that_says_memories_are_memories(heading: str) -> None:
    text = f"You are Bob.\n\n{heading}\n- Likes tea\n* Has a cat\n\nBe brief.\n- not one\n"
    assert memories(text)[:2] == ["- Likes tea\n", "* Has a cat\n"]
    assert memories(text.split("\nBe brief")[0]) == ["- Likes tea\n", "* Has a cat\n"]


@pytest.mark.parametrize(
    "heading",
    [
        "Rules:",
        "## Steps",
        "## Memory rules",
        "## How to use memories",
        "**Instructions for notes:**",
        "When you have context:",
        "Important notes:",
        "Remember:",
        "Answer from memory as follows:",
        "## Context window",
        "Memory tools:",
        "Do not forget these facts:",
        "In fact, do this:",
        "You have a good memory.",
        "- Notes:",
        "Always save memories about:",
        "## Memories\n\n## Tools",
        "Memories:\nnone so far.\n",
        "Memory types you manage:",
        "Memory operations:",
        "# Memory Agent Prompt\n\n## Core Responsibilities",
        "You maintain small facts about each user, including:",
        "Your capabilities (memories, preferences):",
        "Provide personalized context:",
        "Bob NEVER applies memories for:",
        "You have memories. They are surfaced in two ways:",
        "Bob can apply RELEVANT memories for:",
    ],
)
def test_items_under_any_other_heading_are_not(heading: str) -> None:
    assert memories(f"You are Bob.\n{heading}\n- be brief\n- use tools\n") == []


@pytest.mark.parametrize("heading", ["## Notes", "Context:", "**User Context**"])
def test_a_list_with_instructions_under_a_general_heading_is_left_alone(heading: str) -> None:
    text = f"{heading}\n- The current time is in a tag\n- ALWAYS use it\n"
    assert memories(text) == []
    assert memories(text.replace("ALWAYS use", "Mira uses")) == ["- The current time is in a tag\n", "- Mira uses it\n"]
    assert len(memories(f"# Memories\n{text}")) == 2


def test_a_section_goes_on_past_its_introduction_to_the_next_heading() -> None:
    text = "## Memories\nThis is what is stored:\n\n- Likes tea\n\nAnd since May:\n- Has a cat\n\n## Task\n- Answer\n"
    assert memories(text) == ["- Likes tea\n", "- Has a cat\n"]


def test_a_subsection_of_memories_has_memories_unless_it_has_instructions() -> None:
    text = "## Memories\n### Work\n- Is a nurse\n### Rules\n- be brief\n### Home\n- Has a cat\n# End\n- no\n"
    assert memories(text) == ["- Is a nurse\n", "- Has a cat\n"]
    assert memories("# Context\n## Capabilities\n- can read files\n") == []


def test_an_item_has_its_sub_items_its_wrapped_lines_and_its_paragraphs() -> None:
    items = [
        "- Likes tea:\n  - green\n  - black\n",
        "- Lives in a house by the sea with two cats and a garden that\n  is large\n",
        "- Works at night\nand sleeps by day\n",
        "- Wrote a program\n\n  ```\n  print(1)\n  ```\n\n",
        "- Sings\n",
    ]
    assert memories("Notes:\n" + "".join(items) + "Be brief.\n") == items


def test_bullets_under_a_number_belong_to_it() -> None:
    items = ["1. Family\n- a brother\n- a sister\n", "2. Work\n"]
    assert memories("Facts:\n" + "".join(items)) == items


def test_lines_between_the_numbers_of_a_list_belong_to_its_items() -> None:
    items = [
        "1. Mira prefers short answers.\nShe has said so twice.\nConfidence=high\n\n",
        "2. Mira sails.\nConfidence=high\n\n",
    ]
    text = "# Preferences\n\nThese notes are inferred.\n\n" + "".join(items)
    assert memories(f"{text}Be brief.\n") == items
    assert memories(f"{text}# Notes\n1. Mira has a cat.\nBe brief.\n") == [*items, "1. Mira has a cat.\n"]


def test_an_unindented_line_that_begins_a_sentence_is_not_part_of_the_item_before_it() -> None:
    assert memories("Memories:\n- Likes tea\nAnswer briefly.\n") == ["- Likes tea\n"]
    assert memories("Memories:\n- Likes tea\nRules:\n- Be brief\n") == ["- Likes tea\n"]
    assert memories("<memories_of_user>\n- Likes tea\n</memories_of_user>\n") == ["- Likes tea\n"]


def test_what_is_left_of_a_spaced_list_has_its_spacing() -> None:
    text = "Notes:\n\n- a\n\n- b\n\nEnd."
    assert memories(text) == ["- a\n\n", "- b\n\n"]
    assert text.replace("- b\n\n", "") == "Notes:\n\n- a\n\nEnd."


def test_code_has_no_headings_and_no_items() -> None:
    assert memories("```\n## Memories\n- a\n```\n- b\n") == []
    assert memories("## Memories\n```\n- a\n```\n- b\n") == ["- b\n"]
    assert memories("## Memories\n---\n* * *\n- b\n- - -\n") == ["- b\n"]


LINES = st.sampled_from(["Likes tea", "green", "Has a cat,", "é ☂", "x: y", "a - b", "1.5 cups", "It is so. Really?"])
ITEMS = st.lists(
    st.builds(
        lambda first, more: (first, tuple(more)),
        LINES,
        st.lists(st.sampled_from(["  more", "  - sub", "    deep", "\tindented", "\n  after a gap"]), max_size=3),
    ),
    min_size=1,
    max_size=5,
)


@QUICK
@given(
    ITEMS,
    st.sampled_from(["- ", "* ", "+ ", "{n}. ", "{n}) "]),
    st.sampled_from(["## Memories\n", "Facts:\n\n", "**About the user:**\n", "<user_memories>\n"]),
    st.booleans(),
    st.sampled_from(["\r\n", "\n"]),
)
def test_every_item_is_taken_whole_and_alone(
    items: Sequence[tuple[str, Sequence[str]]], marker: str, heading: str, spaced: bool, newline: str
) -> None:
    written = [
        "\n".join([marker.format(n=number) + first, *more]) + "\n" + "\n" * spaced
        for number, (first, more) in enumerate(items, 1)
    ]
    text = ("You are Bob.\n\n" + heading + "".join(written) + "\n" * (not spaced) + "Answer now.").replace(
        "\n", newline
    )
    found = [part for key, part in Detector().split(text) if key is not None]
    assert len(found) == len(items)
    assert [part.strip() for part in found] == [part.replace("\n", newline).strip() for part in written]


CHATGPT = """\
# Model Set Context

1. [2024-05-01]. The user likes tea.

2. [2024-05-02]. The user works on two things:
- boats

- bees

3. [2024-06-01]. The user has a cat.

# Tools
1. [2024-06-02]. no memory
"""


def test_a_model_set_context_has_one_memory_a_date() -> None:
    first, second, third = memories(CHATGPT, "chatgpt")
    assert first == "1. [2024-05-01]. The user likes tea.\n\n"
    assert second.endswith("- boats\n\n- bees\n\n")
    assert third == "3. [2024-06-01]. The user has a cat.\n\n"
    assert keys(CHATGPT) == ["the-user-likes-tea", "the-user-works-on-two-things", "the-user-has-a-cat"]


def test_a_dated_list_elsewhere_is_no_model_set_context() -> None:
    assert memories("Changes:\n1. [2024-05-01]. Fixed it.\n", "chatgpt") == []


REMINDER = """\
<system-reminder>
As you answer the user's questions, you can use the following context:
# claudeMd
Codebase and user instructions are shown below. Be sure to adhere to these instructions.

Contents of /home/mira/boat/CLAUDE.md (project instructions, checked into the codebase):

This is a boat.

## Testing
Before a release:
- Run pytest
- Never sleep
  - not even in fixtures

## Style
Plain words.
- and short ones
```
# no heading
```

## Style
Twice.

Contents of /home/mira/.claude/projects/boat/memory/MEMORY.md (user's auto-memory):

- Likes tea

Contents of /home/mira/boat/README.md:

- Not a memory

# currentDate
Today's date is 2026-11-25.

      IMPORTANT: this context may or may not be relevant to your tasks.
</system-reminder>
Hello
"""


def test_memory_files_in_a_reminder_are_memories_by_file_and_heading() -> None:
    assert keys(REMINDER) == [
        "boat/CLAUDE.md",
        "boat/CLAUDE.md#Testing/run-pytest",
        "boat/CLAUDE.md#Testing/never-sleep-not-even-in-fixtures",
        "boat/CLAUDE.md#Style",
        "boat/CLAUDE.md#Style-2",
        "memory/MEMORY.md/likes-tea",
    ]
    parts = [part for key, part in Detector().split(REMINDER) if key is not None]
    assert parts[2] == "- Never sleep\n  - not even in fixtures\n"
    assert parts[3] == "## Style\nPlain words.\n- and short ones\n```\n# no heading\n```\n\n"


def test_a_memory_file_outside_of_a_reminder_needs_a_description() -> None:
    assert memories("Contents of /x/CLAUDE.md:\n- Run pytest\n", "agent-files") == []
    described = "Contents of /x/CLAUDE.md (project instructions):\n- Run pytest\n"
    assert memories(described, "agent-files") == ["- Run pytest\n"]
    assert memories(f"{REMINDER}{described}{REMINDER}", "agent-files")[6] == "- Run pytest\n"


def test_codex_instructions_are_memories_of_their_file() -> None:
    text = "# AGENTS.md instructions for /home/mira/boat\n\n<INSTRUCTIONS>\n# Tests\n- Run pytest\n</INSTRUCTIONS>\nHi"
    assert Detector().split(text, origin="user")[1] == ("boat/AGENTS.md#Tests/run-pytest", "- Run pytest\n")


def test_bare_memory_elements_are_memories_but_not_those_that_a_sentence_mentions() -> None:
    text = "Between <memory> and </memory> are memories.\n<memory>\nLikes tea\n</memory>\n<memory id='7'>x</memory>\n"
    assert memories(text, "unkeyed") == ["<memory>\nLikes tea\n</memory>\n", "<memory id='7'>x</memory>\n"]
    assert keys(text) == ["memory-1", "7"]
    assert memories("<memory><memory>a</memory></memory>", "unkeyed") == ["<memory>a</memory>"]


def test_paragraphs_are_never_split_inside_of_code_or_after_a_heading() -> None:
    text = "You are Bob.\n\n## Style\n\nPlain words:\n\n```\na\n\nb\n```\n\nThe end.\n\n  indeed\n"
    assert memories(text, "paragraphs") == [
        "You are Bob.\n\n",
        "## Style\n\nPlain words:\n\n```\na\n\nb\n```\n\n",
        "The end.\n\n  indeed\n",
    ]
