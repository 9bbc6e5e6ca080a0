"""What a template wrote, encoded at once and cut only beside memories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, normalizers, pre_tokenizers

import memscope.demo
from memscope.prompt.template.encode import Run, StretchEncoder
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
def test_a_cut_puts_no_space_into_the_text(rule: str) -> None:
    tokenizer = loaded(pieces_tokenizer(rule))
    runs = [Run("Hello", FRAME, True, True), Run("there", MEMORY, True, False), Run("x<|end|>", FRAME, False, False)]
    text = tokenizer.decode([number for piece in StretchEncoder(tokenizer).pieces(runs) for number in piece.ids])
    assert text.lstrip() == "Hellotherex<|end|>"
    assert tokenizer.decode(tokenizer.encode("there")).lstrip() == "there"


@pytest.mark.parametrize("rule", ["prepend", "first", "always"])
def test_without_a_memory_the_ids_are_those_of_the_whole(rule: str) -> None:
    raw = pieces_tokenizer(rule)
    whole = raw.encode("Hello there<|end|>there x", add_special_tokens=False).ids
    runs = [
        Run("Hello ", FRAME, True, True),
        Run("there<|end|>", FRAME, False, False),
        Run("there x", ANSWER, True, False),
    ]
    found = [number for piece in StretchEncoder(loaded(raw)).pieces(runs) for number in piece.ids]
    assert found == whole


def test_a_text_that_spells_a_control_token_is_encoded_as_text_between_cuts() -> None:
    tokenizer = loaded(pieces_tokenizer("prepend"))
    runs = [Run("Hello", FRAME, False, True), Run("<|end|>", FRAME, True, False), Run("<|end|>", FRAME, False, False)]
    (piece,) = StretchEncoder(tokenizer).pieces(runs)
    assert [number in tokenizer.control for number in piece.ids].count(True) == 1
    assert tokenizer.decode(piece.ids).lstrip() == "Hello<|end|><|end|>"


def test_an_unknown_character_is_no_control_token() -> None:
    tokenizer = loaded(pieces_tokenizer("always"))
    assert tokenizer.encode("€") != []
    (piece,) = StretchEncoder(tokenizer).pieces([Run("€<|end|>", FRAME, True, True)])
    assert tokenizer.token_id("<|end|>") not in piece.ids


def test_a_control_token_that_takes_spaces_along_does_no_harm_to_the_text_beside_it() -> None:
    described = json.loads(bundled().to_str())
    for token in described["added_tokens"]:
        token.update(rstrip=True, lstrip=True)
    raw = tokenizers.Tokenizer.from_str(json.dumps(described))
    runs = [
        Run("<|im_start|>", FRAME, False, True),
        Run("  Hi ", FRAME, True, False),
        Run("<|im_end|>", FRAME, False, True),
    ]
    whole = raw.encode("<|im_start|>  Hi <|im_end|>", add_special_tokens=False).ids
    found = [number for piece in StretchEncoder(loaded(raw)).pieces(runs) for number in piece.ids]
    assert found == whole


def test_a_token_over_the_border_of_two_runs_goes_with_the_later_one() -> None:
    tokenizer = loaded(bundled())
    whole = tokenizer.encode("Which port")
    runs = [Run("Which po", FRAME, False, True), Run("rt", ANSWER, True, False)]
    before, after = StretchEncoder(tokenizer).pieces(runs)
    assert [*before.ids, *after.ids] == whole
    assert tokenizer.decode(after.ids).endswith("rt")


def test_runs_of_one_owner_are_one_piece() -> None:
    runs = [Run("a", FRAME, False, True), Run("b", FRAME, True, False), Run("c", MEMORY, True, False)]
    pieces = list(StretchEncoder(loaded(bundled())).pieces(runs))
    assert [piece.memory for piece in pieces] == [None, "a"]
