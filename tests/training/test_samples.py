"""What is sent: the ids before a response and its own, with or without memories, refused by name where it cannot be."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from memscope.demo import model_folder
from memscope.errors import TrainingError
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session
from memscope.training.samples import build_samples, training_data


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(model_folder())


@pytest.fixture
def prompt(small_session: Session, tokenizer: Tokenizer) -> Prompt:
    return render(small_session, tokenizer)


def test_without_memories_the_context_holds_none_and_the_response_is_whole(
    prompt: Prompt, tokenizer: Tokenizer
) -> None:
    (sample,) = build_samples(prompt, [1], "without", None)
    said = tokenizer.decode(sample.context)
    assert "Which port does the staging database use?" in said
    assert "Mira sits" not in said
    assert said.endswith("<|im_start|>assistant\n")
    assert tokenizer.decode(sample.continuation) == "The retro meeting is on Thursday at 15:30.<|im_end|>"
    assert sample.tokens == len(sample.context) + len(sample.continuation)


def test_with_memories_it_is_what_the_model_saw(prompt: Prompt, tokenizer: Tokenizer) -> None:
    (sample,) = build_samples(prompt, [1], "with", None)
    said = tokenizer.decode(sample.context)
    assert "Mira sits in room C217." in said
    assert "The retro meeting is on Thursday at 15:30." in said


def test_the_body_is_as_training_servers_expect_it(prompt: Prompt) -> None:
    samples = build_samples(prompt, [0, 2], "without", None)
    body = msgspec.json.decode(msgspec.json.encode(training_data(samples, "tiny")))
    assert set(body) == {"model", "training_data"}
    assert [set(sample) for sample in body["training_data"]["samples"]] == [{"context_ids", "continuation_ids"}] * 2
    assert body["training_data"]["samples"][1]["continuation_ids"] == list(prompt.continuation_ids(2))
    assert training_data(samples, "tiny", {"steps": 3})["options"] == {"steps": 3}, "only where something was said"


def test_a_sample_longer_than_the_model_takes_is_refused_by_name(prompt: Prompt) -> None:
    (sample,) = build_samples(prompt, [1], "with", None)
    assert build_samples(prompt, [1], "with", sample.tokens)
    with pytest.raises(
        TrainingError, match=rf"response 1 .* {sample.tokens} tokens, the model accepts {sample.tokens - 1}"
    ):
        build_samples(prompt, [0, 1], "with", sample.tokens - 1)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_response_that_is_not_there_is_refused(prompt: Prompt, index: int) -> None:
    with pytest.raises(TrainingError, match=f"no response {index}: the session has 3"):
        build_samples(prompt, [0, index], "with", None)


def test_an_empty_continuation_is_refused_by_name(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "continuation_ids", lambda _: array("I"))
    with pytest.raises(TrainingError, match="response 2 is empty"):
        build_samples(prompt, [2], "without", None)
