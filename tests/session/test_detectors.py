from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import ConfigError, UsageError
from memscope.session.detectors import Detector
from memscope.session.rules.base import ORIGINS, Origin
from memscope.session.rules.registry import RULES
from tests.session.strategies import PROMPTS, QUICK

OWN = r"key=(?P<key>\w+):(?P<text>[^;]*);"


@QUICK
@given(
    PROMPTS,
    st.sets(st.sampled_from(sorted(RULES))),
    st.sampled_from([None, OWN]),
    st.sampled_from(ORIGINS),
    st.booleans(),
)
def test_joined_the_parts_are_the_text(
    text: str, rules: set[str], pattern: str | None, origin: Origin, results: bool
) -> None:
    detector = Detector(rules, pattern)
    parts = detector.split(text, origin=origin, search_results=results)
    assert "".join(part for _, part in parts) == text
    assert all(part for _, part in parts)
    found = {key for keys in detector.found.values() for key in keys}
    assert found == {key for key, _ in parts if key is not None}
    for key in found:
        key.encode("utf-8")


def test_a_text_without_memories_is_one_part() -> None:
    assert Detector().split("Hello, <world> - {not} a memory") == [(None, "Hello, <world> - {not} a memory")]
    assert Detector().split("") == []


def test_the_same_text_is_the_same_memory_and_another_text_never_is() -> None:
    detector = Detector()
    (_, (first, _), (second, _)) = detector.split("User Memories:\n- Likes tea!\n- Likes TEA?\n")
    (_, (again, _)) = detector.split("User Memories:\n- Likes tea!\n")
    assert first == again == "likes-tea"
    assert second is not None
    assert second.startswith("likes-tea-")
    assert detector.found == {"mem0": {first: None, second: None}}


def test_a_text_of_punctuation_has_a_key_too() -> None:
    assert Detector().split("User Memories:\n- ☂\n")[1] == ("memory", "- ☂\n")


def test_a_key_made_of_one_long_word_is_cut() -> None:
    key = Detector().split("User Memories:\n- " + "a" * 5000)[1][0]
    assert key == "a" * 60


def test_rules_are_switched_by_name() -> None:
    text = 'User Memories:\n- Likes tea\n\n<memory key="a">b</memory>'
    assert [key for key, _ in Detector({"tags"}).split(text)] == [None, "a"]
    assert [key for key, _ in Detector(()).split(text)] == [None]


def test_an_earlier_rule_wins_where_two_overlap() -> None:
    text = '<memories>\n<memory key="a">b</memory>\n</memories>'
    detector = Detector()
    detector.split(text)
    assert detector.found == {"tags": {"a": None}}


def test_a_bullet_inside_a_memory_of_an_earlier_rule_is_part_of_it() -> None:
    text = '<memory key="a">\nUser Memories:\n- Likes tea\n</memory>'
    assert Detector().split(text) == [("a", text)]


def test_lists_in_results_of_tools_are_no_memories() -> None:
    text = "## Notes\n- Likes tea\n"
    assert [key for key, _ in Detector().split(text, origin="user")] == [None, "likes-tea"]
    assert Detector().split(text, origin="tool") == [(None, text)]


def test_elements_without_a_key_are_numbered_by_their_text() -> None:
    detector = Detector()
    first = detector.split("<memory>a</memory> <memory>b</memory>")
    again = detector.split("<memory>b</memory> <memory>c</memory>")
    assert [key for key, _ in first + again if key] == ["memory-1", "memory-2", "memory-2", "memory-3"]


def test_an_item_that_overlaps_another_memory_is_not_taken_in_part() -> None:
    text = '## Memories\n- Likes <memory key="a">tea</memory> a lot\n- Has a cat\n'
    assert [key for key, _ in Detector().split(text)] == [None, "a", None, "has-a-cat"]


def test_paragraphs_are_memories_only_where_they_are_asked_for() -> None:
    text = "You are Bob.\n\nThe user likes tea."
    assert Detector().split(text) == [(None, text)]
    assert Detector(["paragraphs"]).split(text) == [
        ("you-are-bob", "You are Bob.\n\n"),
        ("the-user-likes-tea", "The user likes tea."),
    ]
    assert Detector(["paragraphs"]).split(text, origin="user") == [(None, text)]


def test_search_results_are_records_only_where_they_answer_a_search() -> None:
    text = '[{"key": "k", "value": {"content": "Likes tea"}}]'
    assert Detector().split(text) == [(None, text)]
    assert Detector().split(text, search_results=True)[1][0] == "k"
    assert Detector({"tags"}).split(text, search_results=True) == [(None, text)]


def test_the_users_own_pattern_goes_first_and_may_name_what_is_left_out() -> None:
    detector = Detector(None, r"\[(?P<memory>(?P<key>\w+)=(?P<text>[^\]]*))\]")
    assert detector.split("a [k=v] b") == [(None, "a ["), ("k", "k=v"), (None, "] b")]
    assert detector.found == {"regex": {"k": None}}
    assert Detector(None, OWN).split("key=a:b; c") == [("a", "key=a:b;"), (None, " c")]


def test_a_pattern_needs_no_groups() -> None:
    text = "likes: tea\nlikes: rain\n"
    assert Detector((), "^likes: .*\n").split(text) == [
        ("likes-tea", "likes: tea\n"),
        ("likes-rain", "likes: rain\n"),
    ]
    assert Detector((), "^likes: (?P<text>.*)\n").split(text) == [("tea", "likes: tea\n"), ("rain", "likes: rain\n")]
    assert Detector((), "^(?P<key>likes): .*\n").split(text)[0] == ("likes", "likes: tea\n")


def test_a_dot_in_a_pattern_does_not_cross_lines() -> None:
    assert Detector((), "a.*z").split("a b\nc z") == [(None, "a b\nc z")]
    assert Detector((), "(?s)a.*z").split("a b\nc z") == [("a-b-c-z", "a b\nc z")]


def test_a_pattern_that_matches_nothing_at_all_changes_nothing() -> None:
    assert Detector((), "(?P<key>)(?P<text>)").split("abc") == [(None, "abc")]


WRONG_PATTERNS = {
    "(": "memory pattern '(': missing ), unterminated subpattern at position 0",
    "a{99999999999999999999}": "memory pattern 'a{99999999999999999999}': the repetition number is too large",
}


@pytest.mark.parametrize("pattern", WRONG_PATTERNS)
def test_a_wrong_pattern_is_reported(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Detector(None, pattern)
    assert str(caught.value) == WRONG_PATTERNS[pattern]


def test_an_unknown_rule_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        Detector(["tags", "zep"])
    assert str(caught.value) == (
        "memory rule 'zep' is unknown; known rules: tags, mem0, letta, graphiti, langmem, chatgpt, agent-files, "
        "unkeyed, markdown, paragraphs, search-results, regex"
    )


def test_a_pattern_may_say_where_a_list_begins() -> None:
    text = "# A\n- one\n  more\n- two\n\n# B\nname: Mira\nLikes tea.\n\n# C\nnot this"
    found = Detector((), r"^# [AB]\n(?P<items>.+)").split(text)
    assert [part for part in found if part[0]] == [
        ("one-more", "- one\n  more\n"),
        ("two", "- two\n"),
        ("name", "name: Mira\n"),
        ("likes-tea", "Likes tea.\n"),
    ]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Likes tea\n\nHas a cat\n", ["likes-tea", "has-a-cat"]),
        ("Found:\n- Likes tea\n  and rain\n- Has a cat", ["likes-tea-and-rain", "has-a-cat"]),
        ('[{"memory": "Likes tea"}]', []),
    ],
)
def test_search_results_are_taken_where_that_is_asked_for(text: str, keys: list[str]) -> None:
    found = Detector(["search-results"]).split(text, origin="tool", search_results=True)
    assert [key for key, _ in found if key] == keys
    assert "".join(part for _, part in found) == text
    assert Detector(["search-results"]).split(text, origin="tool") == [(None, text)]
    assert "search-results" not in Detector().rules
