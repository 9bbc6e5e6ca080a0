from __future__ import annotations

import pytest

from memscope.errors import SessionError
from memscope.session.json_text import parse_json

TOO_DEEP = "nested too deeply, the limit is 100 lists and objects inside each other"

WRONG = {
    b'{"a":NaN}': "x.json:7: not JSON: JSON is malformed: invalid character at byte 6 of the line",
    b'{"a":1e999}': "x.json:7: not JSON: Number out of range - at `$[...]`",
    b'{\n"a":\n x}': "x.json:9: not JSON: JSON is malformed: invalid character at byte 2 of the line",
    b'{"a":': "x.json:7: not JSON: Input data was truncated",
    b'"a\xff"': "x.json:7: not UTF-8 at byte 3 of the line",
    b'[\n"\xc3"]': "x.json:8: not UTF-8 at byte 2 of the line",
    rb'"a\ud83d"': "x.json:7: not text: half of a surrogate pair at byte 3 of the line",
    rb'"a\udE00"': "x.json:7: not text: half of a surrogate pair at byte 3 of the line",
    rb'"\ud83d\ude00 \ud83d"': "x.json:7: not text: half of a surrogate pair at byte 15 of the line",
    b"[" * 100_000: f"x.json:7: {TOO_DEEP}",
    b"[" * 101 + b"]" * 101: f"x.json:7: {TOO_DEEP}",
    b'{"a":' * 101 + b"1" + b"}" * 101: f"x.json:7: {TOO_DEEP}",
}


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_what_is_not_json_is_reported_with_line_and_byte(data: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        parse_json(data, "x.json", 7)
    assert str(caught.value) == WRONG[data]


def test_surrogate_pairs_escaped_backslashes_and_huge_numbers_are_json() -> None:
    assert parse_json(rb'["\ud83d\ude00", "\\ud83d", 123456789012345678901234567890]', "x.json") == [
        "😀",
        "\\ud83d",
        123456789012345678901234567890,
    ]


def test_what_is_nested_as_deep_as_the_limit_is_json() -> None:
    assert parse_json(b"[" * 100 + b"]" * 100, "x.json") is not None
    assert len(parse_json(b"[" + b"[1]," * 999 + b'"[[["]', "x.json")) == 1000


def test_the_last_of_two_equal_names_counts() -> None:
    assert parse_json(b'{"a":1,"a":2}', "x.json") == {"a": 2}
