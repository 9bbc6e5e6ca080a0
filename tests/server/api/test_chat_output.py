"""Content, reasoning and tool calls in a model's text, whichever way it arrives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.server.api.chat_output import CalledTool, OutputParser, OutputPart, StopFinder, TextPart

_CALL = '<tool_call>\n{"name":"shell","arguments":{"cmd":"ls"}}\n</tool_call>\n'
_PARTS: dict[str, list[OutputPart]] = {
    "Just text.\n\nWith lines.\n": [TextPart("content", "Just text.\n\nWith lines.\n")],
    "<think>\nLet me see.\n</think>\n\nIt is 7432.": [
        TextPart("reasoning", "Let me see."),
        TextPart("content", "It is 7432."),
    ],
    f"One moment.\n{_CALL}": [TextPart("content", "One moment."), CalledTool("shell", '{"cmd":"ls"}')],
    _CALL + _CALL: [CalledTool("shell", '{"cmd":"ls"}'), CalledTool("shell", '{"cmd":"ls"}')],
    "<think>\n\n</think>\n\n" + _CALL: [CalledTool("shell", '{"cmd":"ls"}')],
    "a < b <thin <tool_cal": [TextPart("content", "a < b <thin <tool_cal")],
    "<tool_call>\nnot JSON\n</tool_call>\nfine": [TextPart("content", "<tool_call>\nnot JSON\n</tool_call>\nfine")],
    '<tool_call>\n{"name":"shell","arguments":"ls"}\n</tool_call>': [
        TextPart("content", '<tool_call>\n{"name":"shell","arguments":"ls"}\n</tool_call>')
    ],
    '<tool_call>\n{"name":"shell","argu': [TextPart("content", '<tool_call>\n{"name":"shell","argu')],
    "<think>\nnever ends": [TextPart("reasoning", "never ends")],
}
"""The parts of each text."""


def _parsed(pieces: Sequence[str], *, thinking: bool = False, tools: bool = True) -> list[OutputPart]:
    """Return the parts of a response given in pieces, with neighbouring texts of one kind joined."""
    parser = OutputParser(thinking=thinking, tools=tools)
    joined: list[OutputPart] = []
    for part in [part for piece in pieces for part in parser.feed(piece)] + parser.finish():
        if isinstance(part, TextPart) and joined and isinstance(last := joined[-1], TextPart) and last[0] == part.kind:
            joined[-1] = TextPart(part.kind, last.text + part.text)
        else:
            joined.append(part)
    return joined


@pytest.mark.parametrize(("text", "parts"), list(_PARTS.items()))
def test_a_text_is_split_into_its_parts(text: str, parts: list[OutputPart]) -> None:
    assert _parsed([text]) == parts


def test_reasoning_that_the_prompt_opened_needs_no_opening_tag() -> None:
    assert _parsed(["\nLet me see.\n</think>\n\nYes."], thinking=True) == [
        TextPart("reasoning", "Let me see."),
        TextPart("content", "Yes."),
    ]


def test_a_tool_call_is_text_where_tools_are_not_wanted() -> None:
    assert _parsed([_CALL], tools=False) == [TextPart("content", _CALL)]


def test_arguments_keep_the_spelling_of_the_model() -> None:
    spelled = '{ "n": 1.0, "text": "caf\\u00e9" }'
    assert _parsed([f'<tool_call>{{"arguments": {spelled}, "name": "f"}}</tool_call>']) == [CalledTool("f", spelled)]


def test_text_is_given_as_soon_as_it_is_certain() -> None:
    parser = OutputParser()
    assert parser.feed("Hello <") == [TextPart("content", "Hello ")]
    assert parser.feed("b>") == [TextPart("content", "<b>")]


@given(st.sampled_from(sorted(_PARTS)) | st.text(alphabet="<>/think_tool_call\n{}ab"), st.data())
def test_the_parts_do_not_depend_on_how_the_text_arrives(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert _parsed(pieces) == _parsed([text])


@given(st.text(alphabet="abc"), st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3))
def test_a_text_given_by_characters_is_cut_before_the_stop_text_that_is_complete_first(
    text: str, stops: list[str]
) -> None:
    finder = StopFinder(tuple(stops))
    found = "".join(finder.feed(character) for character in text) + finder.rest()
    ends = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    assert finder.found == bool(ends)
    first = min((end for end, _ in ends), default=None)
    expected = text if first is None else text[: min(start for end, start in ends if end == first)]
    assert found == expected
