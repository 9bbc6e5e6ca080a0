"""What a template wrote, encoded at once and cut only beside memories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers

import memscope.demo
from memscope.prompt.template.encode import SpanEncoder, TextSpan
from memscope.prompt.template.messages import Owner
from memscope.prompt.tokenizer import Tokenizer

BUNDLED = Path(memscope.demo.__file__).parent / "model"
FRAME = Owner("conversation", 0, "user")
MEMORY = Owner("conversation", 0, "user", memory="a")
ANSWER = Owner("conversation", 1, "assistant", response=0)


def loaded(raw: tokenizers.Tokenizer) -> Tokenizer:
    return Tokenizer(raw, BUNDLED)


def bundled() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))


def pieces_tokenizer(rule: str) -> tokenizers.Tokenizer:
    """Return a tokenizer of whole words that marks spaces as SentencePiece does."""
    words = ["▁", "▁Hello", "Hello", "▁there", "there", "▁x", "x", "<", "|", "e", "n", "d", ">"]
    vocabulary = {word: number for number, word in enumerate(["<unk>", *words])}
    model = tokenizers.models.WordPiece(vocabulary, unk_token="<unk>", continuing_subword_prefix="")
    raw = tokenizers.Tokenizer(model)
    if rule == "prepend":
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme=rule)])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    raw.add_special_tokens(["<unk>", "<|end|>"])
    return raw


@pytest.mark.parametrize("rule", ["prepend", "first", "always"])
def test_a_cut_inserts_no_space(rule: str) -> None:
    tokenizer = loaded(pieces_tokenizer(rule))
    spans = [
        TextSpan("Hello", FRAME, True, True),
        TextSpan("there", MEMORY, True, False),
        TextSpan("x<|end|>", FRAME, False, False),
    ]
    text = tokenizer.decode([number for span in SpanEncoder(tokenizer).encode(spans) for number in span.ids])
    assert text.lstrip() == "Hellotherex<|end|>"
    assert tokenizer.decode(tokenizer.encode("there")).lstrip() == "there"


@pytest.mark.parametrize("rule", ["prepend", "first", "always"])
def test_without_a_memory_the_ids_are_those_of_the_whole(rule: str) -> None:
    raw = pieces_tokenizer(rule)
    whole = raw.encode("Hello there<|end|>there x", add_special_tokens=False).ids
    spans = [
        TextSpan("Hello ", FRAME, True, True),
        TextSpan("there<|end|>", FRAME, False, False),
        TextSpan("there x", ANSWER, True, False),
    ]
    found = [number for span in SpanEncoder(loaded(raw)).encode(spans) for number in span.ids]
    assert found == whole


def test_a_text_that_spells_a_control_token_is_encoded_as_text_between_cuts() -> None:
    tokenizer = loaded(pieces_tokenizer("prepend"))
    spans = [
        TextSpan("Hello", FRAME, False, True),
        TextSpan("<|end|>", FRAME, True, False),
        TextSpan("<|end|>", FRAME, False, False),
    ]
    (span,) = SpanEncoder(tokenizer).encode(spans)
    assert [number in tokenizer.control for number in span.ids].count(True) == 1
    assert tokenizer.decode(span.ids).lstrip() == "Hello<|end|><|end|>"


def test_an_unknown_character_is_no_control_token() -> None:
    tokenizer = loaded(pieces_tokenizer("always"))
    assert tokenizer.encode("€") != []
    (span,) = SpanEncoder(tokenizer).encode([TextSpan("€<|end|>", FRAME, True, True)])
    assert tokenizer.token_id("<|end|>") not in span.ids


def test_a_control_token_that_absorbs_spaces_keeps_the_adjacent_text() -> None:
    described = json.loads(bundled().to_str())
    for token in described["added_tokens"]:
        token.update(rstrip=True, lstrip=True)
    raw = tokenizers.Tokenizer.from_str(json.dumps(described))
    spans = [
        TextSpan("<|im_start|>", FRAME, False, True),
        TextSpan("  Hi ", FRAME, True, False),
        TextSpan("<|im_end|>", FRAME, False, True),
    ]
    whole = raw.encode("<|im_start|>  Hi <|im_end|>", add_special_tokens=False).ids
    found = [number for span in SpanEncoder(loaded(raw)).encode(spans) for number in span.ids]
    assert found == whole


def test_a_token_over_the_border_of_two_runs_goes_with_the_later_one() -> None:
    tokenizer = loaded(bundled())
    whole = tokenizer.encode("Which port")
    spans = [TextSpan("Which po", FRAME, False, True), TextSpan("rt", ANSWER, True, False)]
    before, after = SpanEncoder(tokenizer).encode(spans)
    assert [*before.ids, *after.ids] == whole
    assert tokenizer.decode(after.ids).endswith("rt")


def test_runs_of_one_owner_are_one_piece() -> None:
    spans = [TextSpan("a", FRAME, False, True), TextSpan("b", FRAME, True, False), TextSpan("c", MEMORY, True, False)]
    encoded = list(SpanEncoder(loaded(bundled())).encode(spans))
    assert [span.memory for span in encoded] == [None, "a"]
