"""The choke point: nothing that a terminal obeys or hides comes out of it."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from memscope.terminal.safe import cells, fit, one_line, shorten, visible

_TERMINAL_CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("\x1b[31m", "␛[31m"),
        ("a\x9bm", "a‹9B›m"),
        ("\x7f\x00", "␡␀"),
        ("abc\u202ecba", "abc‹202E›cba"),
        ("a\u200bb\u2060", "a‹200B›b‹2060›"),
        ("\ud800", "‹D800›"),
        ("line\u2028line", "line‹2028›line"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("❤\ufe0f fine", "❤ fine"),
        ("a\ufe0fb", "a‹FE0F›b"),
        ("[bold]數據[/]", "[bold]數據[/]"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(raw: str, seen: str) -> None:
    assert visible(raw) == seen


_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, *range(0x200B, 0x2010), 0xFEFF, 0xE0041]


@pytest.mark.parametrize("code", _CONTROLS)
def test_every_control_becomes_a_glyph(code: int) -> None:
    if chr(code) not in "\n\t":
        assert chr(code) not in visible(f"a{chr(code)}b")


def test_no_code_point_survives_in_a_category_that_terminals_obey() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {c for c in visible(everything) if unicodedata.category(c) in _TERMINAL_CONTROLS}
    assert left == {"\n", "\t"}


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_a_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert cell_len(fitted) == width
    assert "\n" not in fitted
    assert cells(shorten(text, width)) <= width


def test_one_line_has_no_runs_of_blanks() -> None:
    assert one_line(" a \n\n b\t c ") == "a b c"
