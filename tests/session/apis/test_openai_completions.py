from __future__ import annotations

from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.apis.openai_completions import reply, request, streamed


def prompt(value: Any) -> list[Any]:
    return list(request({"prompt": value}, "body").messages)


def test_a_prompt_is_a_text_or_token_ids() -> None:
    assert prompt("Once") == prompt(["Once"]) == [{"role": "prompt", "content": [{"type": "text", "text": "Once"}]}]
    assert prompt([1, 2]) == prompt([[1, 2]]) == [{"role": "prompt", "content": [{"type": "tokens", "ids": [1, 2]}]}]
    assert prompt("") == [{"role": "prompt", "content": []}]


def test_of_several_prompts_and_responses_the_first_one_is_read() -> None:
    several = request({"prompt": ["a", "b"], "n": 2}, "body")
    assert several.messages == prompt("a")
    assert several.choices == 4


def test_a_suffix_is_a_part_of_the_context_that_is_not_read() -> None:
    assert request({"prompt": "a", "suffix": "b"}, "body").missing == "the suffix of the completion"


def test_a_response_without_ids_is_a_text() -> None:
    expected = {"role": "completion", "content": [{"type": "text", "text": " a"}]}
    choice = {"index": 0, "text": " a", "finish_reason": "stop"}
    assert reply({"choices": [choice]}).message == streamed([{"choices": [choice]}]).message == expected


@pytest.mark.parametrize("value", [None, 3, [], [[]], [1, "a"], [-1], [True], [1.5], {}])
def test_a_prompt_of_another_kind_is_reported(value: Any) -> None:
    with pytest.raises(SessionError, match=r"^body: field 'prompt': expected a text or a list of token ids, got "):
        request({"prompt": value}, "body")
