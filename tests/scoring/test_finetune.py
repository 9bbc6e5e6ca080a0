"""Candidates for training: chosen by divergence, with a reason where there is none."""

from pathlib import Path

import pytest

from memscope.config import Config
from memscope.run.run import Run
from memscope.scoring.finetune import find_candidates, recent_responses, strip_all, strip_all_within
from memscope.scoring.layout import Column
from memscope.session.nodes import Session
from memscope.store.database import Database

COLUMNS = tuple(
    Column(f"r{n}", n, 2 * n + 1, f"text {n}", "", None if n == 3 else f"2026-11-20T10:0{n}:00Z") for n in range(5)
)


def test_candidates_come_by_descending_divergence_and_include_the_threshold() -> None:
    findings = find_candidates({"r0": 0.99, "r1": 1.0, "r2": 7.0, "r4": 3.0}, COLUMNS, (), 1.0)
    assert [(c.id, c.index, c.entry_index, c.divergence) for c in findings.candidates] == [
        ("r2", 2, 5, 7.0),
        ("r4", 4, 9, 3.0),
        ("r1", 1, 3, 1.0),
    ]
    assert (findings.responses_seen, findings.max_divergence) == (4, 7.0)
    assert findings.why_none is None


def test_trained_responses_and_those_without_timestamp_are_left_out_and_counted() -> None:
    findings = find_candidates({"r2": 7.0, "r3": 9.0}, COLUMNS, {"r2"}, 1.0)
    assert findings.candidates == ()
    assert (findings.trained, findings.without_timestamp) == (1, 1)
    assert findings.why_none == (
        "no candidate: 2 responses seen, maximum divergence 9.00 nats, threshold 1 "
        "(1 already trained, 1 without the timestamp that a candidate needs)"
    )


def test_without_any_response_that_is_said() -> None:
    assert find_candidates({}, COLUMNS, (), 1.0).why_none == "no candidate: no response was scored"


@pytest.mark.anyio
async def test_stripping_all_memories_costs_the_answers_that_rest_on_them(
    small_session: Session, config: Config, tmp_path: Path
) -> None:
    run = Run(small_session, config, Database(tmp_path / "db"))
    try:
        await run.open()
        entries, ids = len(small_session.section("conversation")), run.layout.responses
        everything, window = recent_responses(run.layout, entries, None)
        assert (everything, window) == (list(ids), None)
        found = await strip_all(run.ablation_scorer(), everything)
        assert found[ids[0]] > 3
        assert found[ids[1]] > 3
        assert abs(found[ids[2]]) < 1
        recent, window = recent_responses(run.layout, entries, 5)
        assert (recent, window) == (list(ids[1:]), range(3, 8))
        assert window is not None
        alone = await strip_all_within(run.ablation_scorer(), recent, window)
        assert alone[ids[1]] > 3
        assert await strip_all(run.ablation_scorer(), []) == {}
    finally:
        await run.close()
