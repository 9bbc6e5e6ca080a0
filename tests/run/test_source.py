"""From the options to a scorer: a process of our own is trusted with its time, and its numbers are checked."""

from __future__ import annotations

from array import array

import pytest

from memscope.config import Config
from memscope.engines import transport
from memscope.errors import UsageError
from memscope.run.source import ScorerSource

pytestmark = pytest.mark.anyio


async def test_the_embedded_scorer_has_no_time_limit_and_ends_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_CALL_SECONDS", "_MIN_SECONDS", "_MAX_SECONDS"):
        monkeypatch.setattr(transport, name, 1e-6)
    source = ScorerSource(Config())
    try:
        scorer = await source.open()
        assert scorer.info.verified
        scored = await scorer.score(array("I", (n % 300 + 5 for n in range(1000))), [(10, 1000)])
        assert len(scored.tokens[0]) == 990
    finally:
        await source.close()


async def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMSCOPE_API_KEY", "hunter2\n")
    with pytest.raises(UsageError, match="MEMSCOPE_API_KEY has characters") as caught:
        await ScorerSource(Config(url="http://127.0.0.1:9")).open()
    assert "hunter2" not in str(caught.value)
