"""Reading replies: the right numbers from the right places, and no trust in a mere 200."""

import math
from array import array
from typing import Any

import msgspec
import pytest

from memscope.engines.dialects.prompt_logprobs import read_prompt_logprobs
from memscope.engines.dialects.score_endpoint import read_scores
from memscope.engines.logprobs import agree, checked_scores
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
    scored = read_prompt_logprobs(completion(GOOD), IDS, RANGES)
    assert scored.totals == (-1.0, -7.0)
    assert [list(values) for values in scored.tokens] == [[-1.0], [-3.0, -4.0]]
    assert scored.forwarded == 5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (completion(None), "ignored prompt_logprobs"),
        (completion(GOOD[:-1]), "4 of 5 tokens"),
        (completion(GOOD, prompt_tokens=4), "4 prompt tokens instead of 5"),
        (completion([None, *([position(99, -1.0)] * 4)]), "no log-probability for token 1"),
        (completion([*GOOD[:-1], None]), "no log-probability for token 4"),
        (completion([*GOOD[:-1], position(14, 0.5)]), "log-probability of 0.5"),
        (encoded({"choices": []}), "ignored prompt_logprobs"),
        (encoded({"object": "list"}), "missing required field `choices`"),
        (b"<html>", "choices"),
    ],
)
def test_a_reply_that_is_not_the_answer_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ScorerError, match=words):
        read_prompt_logprobs(body, IDS, RANGES)


def test_scores_come_with_or_without_token_values() -> None:
    body = {"scores": [{"total_logprob": -1.5, "token_logprobs": [-1.5]}, {"total_logprob": -7.0}]}
    scored = read_scores(encoded(body), IDS, RANGES)
    assert scored.totals == (-1.5, -7.0)
    assert [list(values) for values in scored.tokens] == [[-1.5], []]
    assert scored.forwarded == 5


def test_the_scorer_says_what_it_forwarded_and_with_which_weights() -> None:
    body = {"scores": [{"total_logprob": -1.0}] * 2, "usage": {"computed_tokens": 2}, "weights": "abc"}
    scored = read_scores(encoded(body), IDS, RANGES)
    assert (scored.forwarded, scored.weights) == (2, "abc")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": [{"object": "score"}]}, "total_logprob"),
        ({"scores": [{"total_logprob": -1.0}]}, "1 of 2 ranges"),
        ({"scores": [{"total_logprob": -1.0, "token_logprobs": [-1.0, -2.0]}] * 2}, "2 tokens for range"),
        ({"scores": [{"total_logprob": None}] * 2}, "total_logprob"),
    ],
)
def test_other_servers_score_endpoints_are_told_apart(body: dict[str, Any], words: str) -> None:
    with pytest.raises(ScorerError, match=words):
        read_scores(encoded(body), IDS, RANGES)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.01])
def test_only_finite_values_up_to_zero_are_log_probabilities(value: float) -> None:
    with pytest.raises(ScorerError, match="invalid log-probability"):
        checked_scores([[value]], [(1, 2)])


@pytest.mark.parametrize("sentinel", [-9999.0, -10000.0, -1e30, -3.4e38])
def test_what_stands_for_no_value_is_named_with_its_token(sentinel: float) -> None:
    with pytest.raises(ScorerError, match="no log-probability for token 4"):
        checked_scores([[-1.0], [-2.0, sentinel]], RANGES)
    with pytest.raises(ScorerError, match="no log-probability for token 4"):
        read_prompt_logprobs(completion([*GOOD[:-1], position(14, sentinel)]), IDS, RANGES)
    with pytest.raises(ScorerError, match="no log-probability for tokens 3 to 4"):
        checked_scores([None, None], RANGES, [-1.0, sentinel])


def test_very_unlikely_tokens_have_log_probabilities_all_the_same() -> None:
    assert checked_scores([[-400.0]], [(1, 2)])[1] == (-400.0,)


def test_a_total_that_is_not_the_sum_of_its_tokens_is_refused() -> None:
    with pytest.raises(ScorerError, match="total of -9 for tokens 3 to 4, but their sum is -7"):
        checked_scores([[-1.0], [-3.0, -4.0]], RANGES, [-1.0, -9.0])


def test_noise_agrees_and_a_shift_does_not() -> None:
    numbers = (-0.3, -2.0, -5.5, -0.01, -1.2)
    noisy = (-0.31, -2.02, -5.62, -0.01, -1.18)
    assert agree(zip(numbers, noisy, strict=True))
    assert not agree(zip(numbers, numbers[1:] + numbers[:1], strict=True))
    assert not agree(zip(numbers, (value - 0.2 for value in numbers), strict=True)), "a little, everywhere"
    assert not agree(zip(numbers, (*numbers[:4], -2.0), strict=True)), "a lot, at one place"
