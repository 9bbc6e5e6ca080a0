"""The matrix against plain forwards of a model, computed here with nothing of memscope's scorer."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from transformers import AutoModelForCausalLM

from memscope.config import Config
from memscope.demo import model_folder
from memscope.demo.build.generator import Shape, make_session
from memscope.engines.base import Scored
from memscope.engines.client import HttpScorer
from memscope.errors import ScorerError
from memscope.prompt.sequence import Variant
from memscope.run.run import Run
from memscope.scoring.events import RowDone
from memscope.scoring.matrix import noise_floor
from memscope.scoring.rescoring import Cost, Rescorer
from memscope.server.compute.attention import BLOCK
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.store.scores import ScoreStore
from tests.demo_sessions import as_session

pytestmark = pytest.mark.anyio


def plain(variant: Variant) -> dict[int, float]:
    """Return each response's log-probability by one forward of the whole sequence."""
    model = AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32)
    ids = torch.tensor(list(variant.ids))
    with torch.inference_mode():
        logprobs = model(ids[None]).logits[0].log_softmax(-1)
    sums: dict[int, float] = {}
    for owner, (start, end) in zip(variant.owners, variant.ranges, strict=True):
        values = logprobs[start - 1 : end - 1].gather(-1, ids[start:end, None])
        sums[owner] = sums.get(owner, 0.0) + values.double().sum().item()
    return sums


async def test_the_matrix_is_exact_and_costs_the_minimum(config: Config, tmp_path: Path) -> None:
    session = as_session(make_session(Random("exact"), Shape(6, 8)))
    run = Run(session, config, Database(tmp_path / "db"))
    try:
        await run.matrix()
        grid, prompt = run.grids["necessity"], run.prompt
        base = plain(prompt.variants()[0])
        for row, memory in enumerate(prompt.memories):
            (variant,) = prompt.variants({memory.key})
            less = plain(variant)
            for column, value in enumerate(grid.values[row]):
                wanted = base[column] - less[column] if column in memory.responses else 0.0
                assert value == pytest.approx(wanted, abs=5e-4)
        end = len(prompt.variants()[0].ids)
        later = [m for m in prompt.memories if m.responses]
        minimum = end + sum(m.tokens_after for m in later)
        # Every row begins at the edge of a block, so that what it gives never depends on what was cached.
        rounding = BLOCK * len(later)
        stripped = len(prompt.variants(run.layout.keys)[0].ids)  # scored twice, for the noise floor
        assert run.cost.tokens_forwarded <= 1.02 * minimum + rounding + 2 * stripped
    finally:
        await run.close()


async def test_weights_that_change_meanwhile_are_noticed(
    small_session: Session, config: Config, tmp_path: Path
) -> None:
    run = Run(small_session, config, Database(tmp_path / "db"))
    try:
        await run.open()
        scorer = run.rescorer.scorer
        assert isinstance(scorer, HttpScorer)
        scorer.info = replace(scorer.info, weights="those before training")
        with pytest.raises(ScorerError, match="weights changed"):
            await Rescorer(scorer, ScoreStore(Database(None))).score(run.prompt.variants(), Cost())
    finally:
        await run.close()


async def test_a_matrix_begins_again_when_the_weights_change_under_it(
    small_session: Session, config: Config, tmp_path: Path
) -> None:
    run = Run(small_session, config, Database(tmp_path / "db"))
    changed: list[str] = []

    def change(event: object) -> None:
        if isinstance(event, RowDone) and not changed:
            changed.append(event.key)
            scorer = run.rescorer.scorer
            assert isinstance(scorer, HttpScorer)
            scorer.info = replace(scorer.info, weights="another job's")

    run.listen(change)
    try:
        await run.matrix()
        assert changed
        grid = run.grids["necessity"]
        assert grid.status == ["done"] * 3
        base = plain(run.prompt.variants()[0])
        less = plain(run.prompt.variants({"db/port"})[0])
        assert grid.values[0][0] == pytest.approx(base[0] - less[0], abs=5e-4)
    finally:
        await run.close()


def test_the_noise_floor_is_what_two_paths_differ_by_with_a_margin() -> None:
    assert noise_floor([1e-4, -2e-4, 0.0], 16) == pytest.approx(6e-4)
    assert noise_floor([0.0], 16) == pytest.approx(4e-5), "two paths that agree are not without rounding"
    assert noise_floor([], 0) == 0.0


async def test_scoring_one_column_leaves_the_rest_unscored(
    small_session: Session, config: Config, tmp_path: Path
) -> None:
    run = Run(small_session, config, Database(tmp_path / "db"))
    try:
        first = run.layout.responses[:1]
        await run.matrix(responses=first)
        grid = run.grids["necessity"]
        assert grid.status == ["waiting"] * 3, "other cells are not scored yet"
        assert grid.scored(0, 0)
        grid.stop_row("retro/time", "boom")
        await run.matrix(responses=first, fresh=True)
        assert (grid.status[2], grid.errors["retro/time"]) == ("failed", "boom")
        await run.matrix()
        assert grid.status == ["done"] * 3
        await run.matrix(responses=first, fresh=True)
        assert grid.status == ["done"] * 3
    finally:
        await run.close()


async def test_scores_of_new_weights_are_never_kept_under_old_ones(
    small_session: Session, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(small_session, config, Database(tmp_path / "db"))
    try:
        await run.open()
        scorer = run.rescorer.scorer
        assert isinstance(scorer, HttpScorer)
        score = scorer.score

        async def changed(*given: Any, **named: Any) -> Scored:
            scored = await score(*given, **named)
            scorer.info = replace(scorer.info, weights="new")  # somebody else asked who answers
            return scored

        monkeypatch.setattr(scorer, "score", changed)
        store = ScoreStore(run.database)
        with pytest.raises(ScorerError, match="weights changed"):
            await Rescorer(scorer, store).score(run.prompt.variants(), Cost())
        with run.database.transaction() as connection:
            assert connection.execute("SELECT COUNT(*) FROM scores").fetchone() == (0,)
    finally:
        await run.close()
