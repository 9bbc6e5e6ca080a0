"""A session without memories never ends in a dead end: each suggestion takes memories when it is followed."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.session.advice import advice
from memscope.session.detectors import Detector
from memscope.session.formats.chat import read_chat
from memscope.session.formats.native import read_native
from memscope.session.formats.registry import format_of
from memscope.session.nodes import Session
from memscope.session.suggestions import Suggestion, suggestions
from memscope.session.text import leaf_text
from tests.session.formats.test_registry import FILES
from tests.session.strategies import PROMPTS, QUICK

ANSWER = {"role": "assistant", "content": "Tea."}


def chat(system: str, *others: dict[str, Any], rules: tuple[str, ...] | None = None) -> Session:
    return read_chat([{"role": "system", "content": system}, *others, ANSWER], "my chat.json", Detector(rules))


def followed(suggestion: Suggestion, text: str) -> list[tuple[str, str]]:
    """What is taken from a system prompt with the options of a suggestion."""
    options = dict(zip(suggestion.options[::2], suggestion.options[1::2], strict=True))
    rules, pattern = options.get("--rules"), options.get("--memory-regex")
    parts = Detector(rules.split(",") if rules else None, pattern).split(text)
    return [(key, part) for key, part in parts if key is not None]


SHAPES = {
    "paragraph after a heading": "## About the user\n\nMira is a nurse.\nShe likes tea.\n\nBe brief.",
    "<profile> element": "<profile>Lives in Lisbon</profile>\n<profile>Has a cat</profile>",
    "<data> element": "<data>\n<name>Mira</name>\n</data>",
    "list item": "What follows is stored.\n- Likes tea\n- Has a cat",
    "named line": "Name: Mira\nDrink: tea",
    "bracketed line": "[user] Likes tea\n[home] Has a cat",
    "JSON object": '[{"id": 1, "content": "Likes tea"}, {"id": 2, "content": "Has a cat"}]',
}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_shapes_of_memories_are_suggested_with_a_pattern_that_takes_them(kind: str) -> None:
    session = chat(SHAPES[kind])
    assert session.memory_keys() == ()
    (first, *_) = [one for one in suggestions(session) if kind in one.place or f"{kind}s" in one.place]
    assert followed(first, SHAPES[kind])


ODD = (
    "You are a helpful assistant.\n\n## Things Mira told us earlier\n- The user is called Mira.\n- Mira lives\n  in "
    "Lisbon.\n\n## Style\n- Be brief.\n- Use tabs."
)


def test_the_pattern_for_a_list_takes_only_what_follows_its_heading() -> None:
    first, *others = suggestions(chat(ODD))
    assert first.options == ("--memory-regex", r"^## Things Mira told us earlier\n+(?P<items>.+)")
    assert first.place.startswith("2 list items, first in message 0 (system), line 4: - The user is called Mira.")
    assert followed(first, ODD) == [
        ("the-user-is-called-mira", "- The user is called Mira.\n"),
        ("mira-lives-in-lisbon", "- Mira lives\n  in Lisbon.\n"),
    ]
    assert [one.options for one in others] == [("--rules", "paragraphs")]


def test_named_lines_under_a_heading_are_suggested_whatever_their_case() -> None:
    text = "You are helpful.\n\n$PROFILE 'x' `id`:\nname: Mira\ncity: Lisbon\n\nAnswer: briefly\n"
    first = suggestions(chat(text))[0]
    assert first.place.startswith("2 named lines, first in message 0 (system), line 4: name: Mira")
    assert followed(first, text) == [("name", "name: Mira\n"), ("city", "city: Lisbon\n")]


@pytest.mark.parametrize("text", ["## Style\n- Be brief.\n- Use tabs.", "Tool rules:\n- Tea is hot\n"])
def test_no_pattern_is_made_for_a_list_of_instructions(text: str) -> None:
    assert [one for one in suggestions(chat(text)) if "items" in one.options[1]] == []


def test_plain_lines_that_a_memory_search_returned_are_suggested_first() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", "function": {"name": "search_memory"}}]}
    lines = "Found:\nThe user is called Mira.\nMira lives in Lisbon."
    result = {"role": "tool", "tool_call_id": "t1", "content": lines}
    messages = [{"role": "system", "content": "You are helpful."}, call, result, ANSWER]
    first, second = suggestions(read_chat(messages, "c.json", Detector()))
    assert first.place == "2 search-results items, first in message 2 (tool), line 2: The user is called Mira."
    assert first.options == ("--rules", "search-results")
    assert second.options == ("--rules", "paragraphs")
    again = read_chat(messages, "c.json", Detector(["search-results"]))
    assert again.memory_keys() == ("the-user-is-called-mira", "mira-lives-in-lisbon")


def test_what_another_tool_returned_is_not_taken_for_search_results() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "t1", "function": {"name": "sh"}}]}
    result = {"role": "tool", "tool_call_id": "t1", "content": "a.txt\nb.txt"}
    assert suggestions(read_chat([call, result, ANSWER], "c.json", Detector())) == []


def test_a_json_object_is_named_by_what_it_says() -> None:
    text = 'Stored: [{"id": 1, "memory": "Likes {green} tea"}, {"id": 2, "memory": "Has a cat"}, {"id": 3}]'
    (first,) = [one for one in suggestions(chat(text)) if "JSON objects" in one.place]
    assert [key for key, _ in followed(first, text)] == ["likes-green-tea", "has-a-cat", "id-3"]


def test_a_place_says_what_is_there_and_where() -> None:
    session = chat("You are Bob.\nThis is stored:\n- Likes tea\n- Has a cat")
    assert suggestions(session)[0].place == "2 list items, first in message 0 (system), line 3: - Likes tea"


def test_three_places_at_most_and_then_the_paragraphs() -> None:
    session = chat("\n\n".join(SHAPES.values()))
    found = suggestions(session)
    assert len(found) == 4
    assert found[-1].options == ("--rules", "paragraphs")
    assert found[0].options[0] == "--memory-regex"


def test_a_rule_that_was_switched_off_and_would_find_something_comes_first() -> None:
    found = suggestions(chat("Notes:\n- Likes tea\n", rules=("tags",)))
    assert found[0].options == ("--rules", "markdown")


def test_what_the_model_wrote_is_never_suggested() -> None:
    session = read_chat([{"role": "assistant", "content": "- Likes tea"}], "c.json", Detector())
    assert suggestions(session) == []


@QUICK
@given(PROMPTS, st.sampled_from([None, ("tags",), ()]))
def test_every_suggestion_can_be_followed(text: str, rules: tuple[str, ...] | None) -> None:
    session = chat(text, rules=rules)
    if session.memory_keys():
        return
    system = "".join(leaf_text(leaf) for leaf in session.nodes[0].children)  # type: ignore[union-attr]
    for suggestion in suggestions(session):
        assert followed(suggestion, system)
        command = shlex.split(suggestion.command("my chat.json", [("--from", "chat")]))
        assert command == ["memscope", "my chat.json", "--from", "chat", *suggestion.options]


def test_an_element_that_is_not_always_closed_is_not_suggested() -> None:
    """Its pattern would search the rest of the text for each opening tag."""
    open_ended = "<data><name>Mira</name></data>\n<data>\n"
    assert [one.place for one in suggestions(chat(open_ended)) if "<data> element" in one.place] == []


MANY = 5000


@pytest.mark.parametrize(
    "part",
    ["<a>", "{", "## Memories\n", "[", "A:", " ", "a b: c:\n", "a:\n- b:\n", '{"text": "', "- a\n"],
)
def test_hostile_text_is_searched_in_one_go(part: str) -> None:
    for text in (part * MANY, "<a></a>" + part * MANY):
        assert suggestions(chat(text, rules=())) is not None


def test_advice_names_the_format_the_rules_and_a_mark() -> None:
    lines = advice(chat("You are Bob."))
    assert lines[0] == "the file was read as chat"
    assert lines[1].startswith("these rules looked for memories: tags, mem0, ")
    assert "    memscope 'my chat.json' --rules paragraphs" in lines
    assert lines[-1] == 'or mark a message or a text block as a memory: "memory": {"key": "user/name"}'


def test_advice_about_responses_says_which_turns_there_are() -> None:
    messages = [
        {"role": "user", "content": "Tea?", "memory": {"key": "a"}},
        {"role": "bot", "content": "Tea."},
        {"role": "bot", "content": "Yes."},
    ]
    assert advice(read_chat(messages, "c.json", Detector())) == (
        "the file was read as chat",
        "a response is a turn of the conversation with the role assistant and a text; here: 1 user turn, 2 bot turns",
        "if 'bot' is the agent, change that role to 'assistant'",
    )


def test_advice_for_a_native_session_is_a_line_to_add(small_session: Session) -> None:
    assert advice(small_session) == ()
    lines = advice(read_native(b'{"type":"session","version":1,"id":"a"}\n', "a.jsonl"))
    assert lines[1].startswith('a native session names its memories: add lines such as {"type":"memory",')
    assert lines[2].endswith("here: no turns")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_format_without_memories_gives_commands_that_find_some(name: str) -> None:
    session = format_of(FILES[name], "file").read(FILES[name], "file", lambda: Detector(()))
    if session.memory_keys():
        return
    lines = advice(session)
    assert lines[0].startswith("the file was read as ")
    assert any("mark a message" in line or "memscope convert" in line for line in lines)
    for suggestion in suggestions(session):
        options = dict(zip(suggestion.options[::2], suggestion.options[1::2], strict=True))
        rules = options.get("--rules", "").split(",") if "--rules" in options else ()
        again = format_of(FILES[name], "file").read(
            FILES[name], "file", partial(Detector, rules, options.get("--memory-regex"))
        )
        assert again.memory_keys()
