"""A memscope that is killed while it sends never leaves a lie in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import start_scorer, stop_scorer
from tests.training.kills import judge, kill_sends


@pytest.mark.anyio
async def test_after_kills_at_random_moments_marks_and_jobs_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = start_scorer("--served-name", "tiny")
    monkeypatch.setenv("MEMSCOPE_API_KEY", scorer.token)
    try:
        killed = kill_sends(10, tmp_path, scorer, seed=1)
        left = await judge(tmp_path, scorer)
    finally:
        stop_scorer(scorer)
    assert killed.total() == 10
    assert left["accepted"] + left["succeeded"] > 0
