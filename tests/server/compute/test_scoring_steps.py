"""Scores equal plain forwards whatever was asked before, and cost the minimum of tokens in whole granules."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.server.compute.kv import PrefixStore
from memscope.server.compute.loading import LoadedModel, with_weights
from memscope.server.compute.scoring_steps import prompt_logprobs, score_ranges, token_logprobs
from memscope.server.errors import ApiError

Drain: TypeAlias = Callable[[Any], Any]
Load: TypeAlias = Callable[[str], LoadedModel]
Sums: TypeAlias = Callable[..., list[float]]

EXACT_NATS = 5e-4
"""The largest difference allowed on a sum."""

_ARCHITECTURES = ("bundled", "qwen3", "llama", "gemma")


@st.composite
def _requests(draw: st.DrawFn) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Sequences that share beginnings in every way: cut short, with a piece left out, with another ending."""
    base = draw(st.lists(st.integers(3, 1500), min_size=30, max_size=90))
    requests = []
    for _ in range(draw(st.integers(2, 4))):
        start = draw(st.integers(0, len(base) - 2))
        cut = draw(st.integers(0, 20))
        ids = base[:start] + base[start + cut :] + draw(st.lists(st.integers(3, 1500), max_size=3))
        ids = ids if len(ids) > 1 else base
        starts = draw(st.lists(st.integers(1, len(ids) - 1), min_size=1, max_size=3))
        requests.append((ids, [(at, draw(st.integers(at + 1, len(ids)))) for at in starts]))
    return requests


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=_requests())
def test_any_order_of_requests_gives_the_sums_of_plain_forwards(
    architecture: str,
    loaded_models: Load,
    drain: Drain,
    plain_sums: Sums,
    requests: list[tuple[list[int], list[tuple[int, int]]]],
) -> None:
    loaded = loaded_models(architecture)
    for ids, ranges in requests:
        found = drain(score_ranges(loaded, ids, ranges))
        sums = [float(values.sum(dtype="float64")) for values in found.ranges]
        assert sums == pytest.approx(plain_sums(loaded.model, ids, ranges), abs=EXACT_NATS)
        assert [len(values) for values in found.ranges] == [end - start for start, end in ranges]


def _session(front: bool, memories: int = 6) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, int]]]:
    """Ids, memory spans and response spans; the memories stand before everything or between the responses."""
    draw = random.Random(5)
    position, memory_spans, responses = 10, [], []
    for _ in range(memories):
        position += 3
        memory_spans.append((position, position + 9))
        position += 9
        if not front:
            responses.append((position + 4, position + 16))
            position += 20
    if front:
        responses = [(position + 20 * n + 4, position + 20 * n + 16) for n in range(memories)]
        position += 20 * memories
    return [draw.randrange(3, 1500) for _ in range(position)], memory_spans, responses


@pytest.mark.parametrize("front", [False, True], ids=["interleaved", "front-loaded"])
@pytest.mark.parametrize("architecture", ["bundled", "qwen3", "llama"])
def test_a_whole_matrix_forwards_the_minimum_in_whole_granules(
    architecture: str, front: bool, sharing_models: Load, drain: Drain, plain_sums: Sums
) -> None:
    loaded = sharing_models(architecture)
    fresh = with_weights(loaded, loaded.model)
    ids, memories, responses = _session(front)
    end = responses[-1][1]
    granule = fresh.path.grid.granule
    assert drain(score_ranges(fresh, ids, responses)).computed_tokens <= end + granule
    for start, stop in memories:
        shorter = ids[:start] + ids[stop:]
        ranges = [(a - (stop - start), b - (stop - start)) for a, b in responses if a >= stop]
        found = drain(score_ranges(fresh, shorter, ranges))
        assert found.computed_tokens <= end - stop + 2 * granule
        assert [float(v.sum(dtype="float64")) for v in found.ranges] == pytest.approx(
            plain_sums(loaded.model, shorter, ranges), abs=EXACT_NATS
        )


def test_a_prefix_is_reused_up_to_the_last_whole_granule(sharing_models: Load, drain: Drain, plain_sums: Sums) -> None:
    loaded = with_weights(sharing_models("qwen3"), sharing_models("qwen3").model)
    ids = list(range(10, 90))
    drain(score_ranges(loaded, ids, [(1, 80)]))
    other = ids[:70] + list(range(100, 110))
    found = drain(score_ranges(loaded, other, [(70, 80)]))
    assert (found.cached_tokens, found.computed_tokens) == (64, 16)
    assert float(found.ranges[0].sum()) == pytest.approx(plain_sums(loaded.model, other, [(70, 80)])[0], abs=1e-4)


def test_no_ranges_cost_nothing(loaded_models: Load, drain: Drain) -> None:
    found = drain(score_ranges(loaded_models("bundled"), [4, 5, 6], []))
    assert (found.ranges, found.computed_tokens) == ((), 0)


def test_prompt_logprobs_agree_with_scores_and_rank_the_best_first(loaded_models: Load, drain: Drain) -> None:
    loaded = loaded_models("bundled")
    ids = list(range(20, 70))
    tokens = drain(prompt_logprobs(loaded, ids))
    scores = drain(score_ranges(loaded, ids, [(1, 50)]))
    assert tokens.logprobs == pytest.approx(scores.ranges[0].tolist(), abs=1e-4)
    for logprob, rank, best in zip(tokens.logprobs, tokens.ranks, tokens.top_logprobs, strict=True):
        assert (rank == 1) == (logprob == best)


def test_token_logprobs_is_the_log_of_the_softmax() -> None:
    logits = torch.randn(600, 50, generator=torch.Generator().manual_seed(1))
    tokens = torch.arange(600) % 50
    expected = logits.log_softmax(-1)[torch.arange(600), tokens]
    assert torch.allclose(token_logprobs(logits, tokens), expected, atol=1e-6)


def test_weights_that_give_no_numbers_are_reported(loaded_models: Load, drain: Drain) -> None:
    broken = copy.deepcopy(loaded_models("llama").model)
    torch.nn.init.constant_(broken.model.norm.weight, float("nan"))
    loaded = with_weights(loaded_models("llama"), broken)
    with pytest.raises(ApiError, match="that is not finite, first at token 1") as caught:
        drain(score_ranges(loaded, [5, 6, 7], [(1, 3)]))
    assert caught.value.status == 500


def test_an_interrupted_request_leaves_what_it_computed(sharing_models: Load, drain: Drain) -> None:
    loaded = with_weights(sharing_models("qwen3"), sharing_models("qwen3").model)
    assert isinstance(loaded.store, PrefixStore)
    ids = list(range(10, 100))
    with torch.inference_mode():
        steps = score_ranges(loaded, ids, [(80, 90)])
        next(steps)
        next(steps)
        steps.close()
    found = drain(score_ranges(loaded, ids, [(80, 90)]))
    assert found.cached_tokens == 2 * loaded.path.grid.span
