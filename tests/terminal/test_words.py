"""Words are what a reader takes for one, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given

from memscope.terminal.words import words_of
from tests.terminal.strategies import TEXTS


@given(TEXTS)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words_of(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop, now", ["don't", " ", "stop", ",", " ", "now"]),
        ("数据库is on", ["数", "据", "库", "is", " ", "on"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("데이터베이스 포트", ["데이터베이스", " ", "포트"]),
        ("👩‍💻👍🏽🇩🇪🇫🇷1️⃣", ["👩‍💻", "👍🏽", "🇩🇪", "🇫🇷", "1️⃣"]),
        ("cafe\u0301 x", ["cafe\u0301", " ", "x"]),
        ("a - b\r\n\tc", ["a", " ", "-", " ", "b", "\r\n\t", "c"]),
        ("snake_case v1.2", ["snake_case", " ", "v1", ".", "2"]),
    ],
)
def test_words_are_what_a_reader_takes_for_one(text: str, words: list[str]) -> None:
    assert words_of(text) == words
