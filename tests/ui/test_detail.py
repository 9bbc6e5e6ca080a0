"""What the detail says of a cell."""

from math import nan

import pytest
from msgspec.structs import replace

from memscope.scoring.layout import Column, Row
from memscope.scoring.tokens import CellTokens
from memscope.ui.detail import CellFacts, describe

CELL = CellFacts(
    measure="necessity",
    row=Row("db", "conversation", "port 7432", 2, range(1, 5), tokens=4),
    column=Column("r3", 3, 5, "It is 7432.", "It is 7432.", None, tokens=5),
    value=5.5,
    status="done",
    error="",
    noise_floor=1e-4,
)
TOKENS = CellTokens(("It", " is", " 7432", "."), (-1.0, -1.0, -0.5, -0.1), (-1.0, -1.5, -5.5, -0.1))


def said(cell: CellFacts, tokens: CellTokens | None = None, note: str = "") -> str:
    return describe(cell, tokens, note, "full", dark=True).plain


def test_it_names_the_memory_and_gives_nats_and_nats_per_token() -> None:
    text = said(CELL)
    assert "db  conversation, 4 tokens, appears 2 times" in text
    assert "+5.500 nats  +1.100 per token" in text
    assert "It is 7432." in text


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (replace(CELL, value=nan), "not scored yet"),
        (replace(CELL, value=5e-5), "≈ 0 nats (below the noise floor of 1.0e-04)"),
        (replace(CELL, value=0.0, row=replace(CELL.row, columns=())), "not in the prompt of this response"),
        (replace(CELL, status="failed", error="boom\x1b[1m"), "failed: boom␛[1m"),
        (replace(CELL, value=-2.0), "-2.000 nats"),
    ],
)
def test_every_state_has_its_words(cell: CellFacts, words: str) -> None:
    assert words in said(cell)


def test_what_the_response_cites_stands_against_what_was_measured() -> None:
    cited = (("db", 5.5), ("tea", nan), ("gone", None))
    line = "cites db (+5.500 nats), tea (not scored yet), gone (not in the prompt)"
    assert f"{line}\n" in said(replace(CELL, cited=cited))
    assert "cites tea (-0.100 nats), but not this memory\n" in said(replace(CELL, cited=(("tea", -0.1),)))
    assert "cites" not in said(CELL)


def test_another_model_and_a_response_it_hardly_expects_are_named() -> None:
    column = replace(CELL.column, model="claude-x")
    text = said(replace(CELL, column=column, scorer="Qwen/tiny", mean_logprob=-5.25))
    assert "answered by claude-x, scored by Qwen/tiny\n" in text
    assert "hardly expected by this model: -5.2 nats per token\n" in text
    own = said(replace(CELL, column=replace(column, model="Tiny"), scorer="Qwen/tiny", mean_logprob=-0.5))
    assert "answered by" not in own
    assert "hardly" not in own


def test_tokens_are_shaded_by_their_own_change() -> None:
    content = describe(CELL, TOKENS, "", "full", dark=True)
    assert "log p -2.60 with everything present, -8.10 with this memory left out" in content.plain
    start = content.plain.index(" 7432.\n")
    shades = {content.plain[span.start : span.end]: span.style for span in content.spans}
    assert content.plain[start : start + 5] == " 7432"
    assert shades[" 7432"] != shades.get("It")


def test_a_scorer_without_token_values_leaves_plain_text_and_the_reason() -> None:
    text = said(CELL, None, "no values for single tokens: sums only")
    assert text.endswith("no values for single tokens: sums only")
