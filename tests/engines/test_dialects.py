"""Reading replies: the right numbers from the right places, and no trust in a mere 200."""

import math
from array import array
from typing import Any

import msgspec
import pytest

from memscope.engines.base import checked_scores
from memscope.engines.dialects import PromptLogprobs, ScoreEndpoint
from memscope.errors import ScorerError

IDS = array("I", [10, 11, 12, 13, 14])
RANGES = [(1, 2), (3, 5)]


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def position(token: int, logprob: float) -> dict[str, Any]:
    return {str(token): {"logprob": logprob, "rank": 1}, "999": {"logprob": -0.001, "rank": 1}}


def completion(values: Any, prompt_tokens: int = 5) -> bytes:
    return encoded({"choices": [{"prompt_logprobs": values}], "usage": {"prompt_tokens": prompt_tokens}})


GOOD = [None, position(11, -1.0), position(12, -2.0), position(13, -3.0), position(14, -4.0)]


def test_prompt_logprobs_are_taken_by_token_id() -> None:
    scored = PromptLogprobs().parse(completion(GOOD), IDS, RANGES)
    assert scored.totals == (-1.0, -7.0)
    assert [list(values) for values in scored.tokens] == [[-1.0], [-3.0, -4.0]]
    assert scored.forwarded == 5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (completion(None), "ignored prompt_logprobs"),
        (completion(GOOD[:-1]), "4 tokens of 5"),
        (completion(GOOD, prompt_tokens=4), "4 prompt tokens of 5"),
        (completion([None, *([position(99, -1.0)] * 4)]), "no log-probability for token 1"),
        (completion([*GOOD[:-1], None]), "no log-probability for token 4"),
        (completion([*GOOD[:-1], position(14, 0.5)]), "log-probability of 0.5"),
        (encoded({"choices": []}), "ignored prompt_logprobs"),
        (encoded({"object": "list"}), "no choices"),
        (b"<html>", "choices"),
    ],
)
def test_a_reply_that_is_not_the_answer_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ScorerError, match=words):
        PromptLogprobs().parse(body, IDS, RANGES)


def test_scores_come_with_or_without_token_values() -> None:
    body = {"scores": [{"total_logprob": -1.5, "token_logprobs": [-1.5]}, {"total_logprob": -7.0}]}
    scored = ScoreEndpoint().parse(encoded(body), IDS, RANGES)
    assert scored.totals == (-1.5, -7.0)
    assert [list(values) for values in scored.tokens] == [[-1.5], []]
    assert scored.forwarded == 5


def test_the_scorer_says_what_it_forwarded_and_with_which_weights() -> None:
    body = {"scores": [{"total_logprob": -1.0}] * 2, "usage": {"computed_tokens": 2}, "weights": "abc"}
    scored = ScoreEndpoint().parse(encoded(body), IDS, RANGES)
    assert (scored.forwarded, scored.weights) == (2, "abc")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": [{"object": "score"}]}, "total_logprob"),
        ({"scores": [{"total_logprob": -1.0}]}, "1 ranges of 2"),
        ({"scores": [{"total_logprob": -1.0, "token_logprobs": [-1.0, -2.0]}] * 2}, "2 tokens for range"),
        ({"scores": [{"total_logprob": None}] * 2}, "total_logprob"),
    ],
)
def test_other_servers_score_endpoints_are_told_apart(body: dict[str, Any], words: str) -> None:
    with pytest.raises(ScorerError, match=words):
        ScoreEndpoint().parse(encoded(body), IDS, RANGES)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.01])
def test_only_finite_values_up_to_zero_are_log_probabilities(value: float) -> None:
    with pytest.raises(ScorerError, match="cannot be used"):
        checked_scores([[value]], [(1, 2)])


def test_a_priority_is_sent_only_when_it_is_given() -> None:
    for dialect in (PromptLogprobs(), ScoreEndpoint()):
        assert dialect.request("m", IDS, RANGES, 5, None)["priority"] == 5
        assert "priority" not in dialect.request("m", IDS, RANGES, None, None)
