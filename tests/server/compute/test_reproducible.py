"""A value depends on the ids alone, to the last bit: not on what was cached, asked before, or asked with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.server.compute.kv import PrefixStore
from memscope.server.compute.loading import PATH_VARIABLE, LoadedModel, load
from memscope.server.compute.scoring_steps import prompt_logprobs, score_ranges
from memscope.server.options import ServeOptions

Drain: TypeAlias = Callable[[Any], Any]
Request: TypeAlias = tuple[list[int], list[tuple[int, int]]]

_CASES = [
    ("bundled", "products", 512),
    ("bundled", "flash", 512),
    ("bundled", "flash", 48),
    ("bundled", "stock", 96),
    ("bundled", "windowed", 48),
    ("llama", "products", 512),
    ("llama", "stock", 32),
    ("gemma", "windowed", 32),
    ("mixture", "flash", 32),
]


@pytest.fixture(scope="module")
def on_path(model_folders: Callable[[str], Any]) -> Iterator[Callable[[str, str, int], LoadedModel]]:
    """Return a function from an architecture, the path to force and a chunk size to a loaded model."""
    made: dict[tuple[str, str, int], LoadedModel] = {}

    def loaded(kind: str, path: str, chunk: int) -> LoadedModel:
        if (kind, path, chunk) not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(PATH_VARIABLE, path)
                made[kind, path, chunk] = load(model_folders(kind), ServeOptions(model=kind, chunk_tokens=chunk))
        return made[kind, path, chunk]

    yield loaded


@st.composite
def _requests(draw: st.DrawFn) -> list[Request]:
    """Sequences that share beginnings: whole, and with a piece left out, each asked in one piece and in several."""
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    base = [rng.randrange(3, 1500) for _ in range(draw(st.integers(40, 300)))]
    requests = []
    for _ in range(draw(st.integers(2, 3))):
        start = rng.randrange(len(base) - 2)
        ids = base[:start] + base[start + rng.randrange(40) :]
        ids = ids if len(ids) > 2 else base
        starts = sorted(rng.sample(range(1, len(ids)), min(3, len(ids) - 1)))
        ranges = [(at, min(len(ids), at + rng.randrange(1, 60))) for at in starts]
        requests.append((ids, ranges))
        requests += [(ids, [chosen]) for chosen in ranges]
    rng.shuffle(requests)
    return requests


@pytest.mark.parametrize(("kind", "path", "chunk"), _CASES)
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=_requests())
def test_any_order_of_requests_and_any_store_give_the_same_bits(
    kind: str, path: str, chunk: int, requests: list[Request], on_path: Callable[..., LoadedModel], drain: Drain
) -> None:
    loaded = on_path(kind, path, chunk)
    assert loaded.path.name == path
    seen: dict[tuple[tuple[int, ...], int], bytes] = {}
    for budget in (0, 150_000, 1 << 30):
        object.__setattr__(loaded, "store", PrefixStore(budget))
        for ids, ranges in requests:
            found = drain(score_ranges(loaded, ids, ranges))
            for (start, end), values in zip(ranges, found.ranges, strict=True):
                for token, value in zip(range(start, end), values, strict=True):
                    known = seen.setdefault((tuple(ids), token), value.tobytes())
                    assert known == value.tobytes(), (len(ids), token, budget)


@pytest.mark.parametrize(("kind", "path", "chunk"), [case for case in _CASES if case[0] != "mixture"])
def test_what_follows_a_range_never_changes_it(
    kind: str, path: str, chunk: int, on_path: Callable[..., LoadedModel], drain: Drain
) -> None:
    loaded = on_path(kind, path, chunk)
    rng = random.Random(3)
    ids = [rng.randrange(3, 1500) for _ in range(333)]
    (expected,) = drain(score_ranges(loaded, ids[:150], [(100, 150)])).ranges
    for grown in (ids[:151], ids[:190], ids, ids[:150] + [7] * 100):
        object.__setattr__(loaded, "store", PrefixStore(1 << 30))
        found = drain(score_ranges(loaded, grown, [(100, 150), (150, len(grown))])).ranges[0]
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("kind", "path", "chunk"), _CASES)
def test_prompt_logprobs_are_the_same_bits(
    kind: str, path: str, chunk: int, on_path: Callable[..., LoadedModel], drain: Drain
) -> None:
    loaded = on_path(kind, path, chunk)
    ids = random.Random(4).choices(range(3, 1500), k=140)
    prompt = drain(prompt_logprobs(loaded, ids)).logprobs
    (scores,) = drain(score_ranges(loaded, ids, [(1, len(ids))])).ranges
    assert np.array_equal(np.array(prompt, dtype=np.float32), scores)


@pytest.mark.parametrize(("kind", "path", "chunk"), _CASES)
def test_another_request_between_two_steps_changes_nothing(
    kind: str, path: str, chunk: int, on_path: Callable[..., LoadedModel], drain: Drain
) -> None:
    loaded = on_path(kind, path, chunk)
    rng = random.Random(5)
    ids = [rng.randrange(3, 1500) for _ in range(200)]
    other = ids[:90] + ids[100:]
    expected = drain(score_ranges(loaded, ids, [(120, 200)])).ranges[0]
    object.__setattr__(loaded, "store", PrefixStore(1 << 30))
    with torch.inference_mode():
        steps = score_ranges(loaded, ids, [(120, 200)])
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                found = stop.value.ranges[0]
                break
            drain(score_ranges(loaded, other, [(60, 190)]))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("kind", "path", "chunk"), _CASES)
def test_the_alternate_path_computes_the_same_numbers_with_other_rounding(
    kind: str, path: str, chunk: int, on_path: Callable[..., LoadedModel], drain: Drain
) -> None:
    loaded = on_path(kind, path, chunk)
    ids = random.Random(6).choices(range(3, 1500), k=180)
    (one,) = drain(score_ranges(loaded, ids, [(20, 180)])).ranges
    (other,) = drain(score_ranges(loaded.alternate, ids, [(20, 180)])).ranges
    (again,) = drain(score_ranges(loaded, ids, [(20, 180)])).ranges
    assert other == pytest.approx(one, abs=1e-3)
    assert not np.array_equal(one, other)
    assert np.array_equal(one, again), "the model itself is as it was"
