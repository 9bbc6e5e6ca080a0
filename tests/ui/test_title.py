"""The title line says what the numbers rest on, also where it is narrow."""

from __future__ import annotations

import pytest

from memscope.config import Config
from memscope.run.run import Run
from memscope.scoring.events import ScorerReady
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.ui.title import Title

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("verified", [True, False])
async def test_an_unchecked_scorer_is_shown_as_not_verified(small_session: Session, verified: bool) -> None:
    run = Run(small_session, Config(), Database(None))
    run.scorer = ScorerReady("vllm", "m", "bfloat16", "http://h/v1", "prompt_logprobs", "w", verified)
    shown = "".join(text for text, _ in Title(run).pieces(80))
    assert ("scorer not verified" in shown) is not verified


@pytest.mark.parametrize("doubted", [True, False])
async def test_a_model_that_hardly_expects_the_responses_is_questioned(small_session: Session, doubted: bool) -> None:
    run = Run(small_session, Config(), Database(None))
    run.notices.model_doubted = doubted
    shown = "".join(text for text, _ in Title(run).pieces(80))
    assert ("wrong model?" in shown) is doubted
