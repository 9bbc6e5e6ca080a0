"""Importance of single memories: what is due, what a window sees, what survives a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from memscope.config import Config
from memscope.demo import model_folder
from memscope.errors import ScorerError, ScorerGoneError
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.sequence import Variant
from memscope.prompt.tokenizer import Tokenizer
from memscope.run.run import Run
from memscope.scoring.importance import (
    MemoryScore,
    due_memories,
    memory_texts,
    score_incrementally,
    score_memory,
)
from memscope.scoring.rescoring import Cost, Rescorer, ResponseScore, WeightsChangedError
from memscope.session.formats.native import read_native
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.store.memory_weights import MemoryWeight, MemoryWeights, moving_average
from memscope.store.scores import ScoreStore
from tests.call_sessions import Exchange, call_session, message, text

NOW = 1_000_000.0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(model_folder())


@pytest.fixture
def prompt(small_session: Session, tokenizer: Tokenizer) -> Prompt:
    return render(small_session, tokenizer)


@asynccontextmanager
async def opened(session: Session, config: Config) -> AsyncIterator[Run]:
    database = Database(config.state_folder())
    run = Run(session, config, database)
    try:
        await run.open()
        yield run
    finally:
        await run.close()
        database.close()


class FailingRescorer(Rescorer):
    """Fails wherever these texts are left out of the prompt."""

    def __init__(self, real: Rescorer, prompt: Prompt, keys: Collection[str], error: ScorerError) -> None:
        super().__init__(real.scorer, ScoreStore(Database(None)))
        self._lengths = {len(v.ids) for key in keys for v in prompt.variants({key})}
        self._error = error

    async def score(
        self, variants: Sequence[Variant], cost: Cost, *, fresh: bool = False, second_path: bool = False
    ) -> dict[int, ResponseScore]:
        if any(len(variant.ids) in self._lengths for variant in variants):
            raise self._error
        return await super().score(variants, cost, fresh=fresh, second_path=second_path)


def remembered(**ages: float) -> dict[str, MemoryWeight]:
    return {key.replace("_", "/"): MemoryWeight(1.0, NOW - age, 1) for key, age in ages.items()}


def test_what_was_never_scored_is_due_in_order_of_appearance(prompt: Prompt) -> None:
    due = due_memories(prompt, {}, NOW, 3600)
    assert [memory.key for memory in due.memories] == ["db/port", "mira/room", "retro/time"]
    assert (due.fresh, due.late) == ((), ())


def test_the_oldest_comes_first_and_the_fresh_wait(prompt: Prompt) -> None:
    known = remembered(db_port=4000.0, mira_room=3599.0, retro_time=3600.0)
    due = due_memories(prompt, known, NOW, 3600)
    assert [memory.key for memory in due.memories] == ["db/port", "retro/time"]
    assert due.fresh == ("mira/room",)
    known = remembered(db_port=4000.0, mira_room=5000.0)
    assert [memory.key for memory in due_memories(prompt, known, NOW, 3600).memories] == [
        "retro/time",
        "mira/room",
        "db/port",
    ]


def test_a_time_in_the_future_does_not_keep_a_memory_from_being_scored(prompt: Prompt) -> None:
    due = due_memories(prompt, remembered(db_port=-50.0), NOW, 3600)
    assert "db/port" in [memory.key for memory in due.memories]


def test_memories_after_sixty_percent_of_the_conversation_are_late(tokenizer: Tokenizer) -> None:
    def session(before: int, after: int) -> Session:
        turn = '{"type":"branch","role":"assistant","children":[{"type":"content","text":"One two three."}]}\n'
        memory = '{"type":"memory","key":"k","text":"A memory."}\n'
        head = '{"type":"session","version":1,"id":"s"}\n'
        return read_native((head + turn * before + memory + turn * after).encode(), "s")

    early = render(session(11, 9), tokenizer)
    assert early.memories[0].conversation_share <= 0.6
    assert due_memories(early, {}, NOW, 0).late == ()
    late = render(session(13, 7), tokenizer)
    assert late.memories[0].conversation_share > 0.6
    assert due_memories(late, {}, NOW, 0).late == ("k",)


def test_a_memory_with_no_response_after_it_is_late(tokenizer: Tokenizer) -> None:
    long_end = '{"type":"branch","role":"user","children":[{"type":"content","text":"' + "and so on " * 50 + '"}]}\n'
    lines = (
        '{"type":"session","version":1,"id":"s"}\n'
        '{"type":"branch","role":"assistant","children":[{"type":"content","text":"Hello."}]}\n'
        '{"type":"memory","key":"k","text":"A memory."}\n' + long_end
    )
    prompt = render(read_native(lines.encode(), "s"), tokenizer)
    assert prompt.memories[0].conversation_share < 0.6
    assert due_memories(prompt, {}, NOW, 0).late == ("k",)


@pytest.mark.anyio
async def test_a_memory_is_the_sum_of_its_clamped_divergences(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as run:
        await run.matrix()
        values = list(run.grids["necessity"].values[0])
        score = await score_memory(run.prompt, run.rescorer, Cost(), run.prompt.memories[0], context="full")
        assert score.total == pytest.approx(sum(max(0.0, value) for value in values))
        assert score.maximum == pytest.approx(max(values))
        assert score.responses == 3
        assert score.key == "db/port"


@pytest.mark.anyio
async def test_the_window_counts_from_the_first_appearance(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as run:
        identity, _, surfaced = run.prompt.memories
        assert (await score_memory(run.prompt, run.rescorer, Cost(), identity, window=1)).responses == 1
        score = await score_memory(run.prompt, run.rescorer, Cost(), surfaced, window=1)
        assert score.responses == 1
        assert score.maximum > 3, "the response right after it states what only this memory tells"
        assert (await score_memory(run.prompt, run.rescorer, Cost(), surfaced)).responses == 2


@pytest.mark.anyio
async def test_the_window_alone_costs_less_than_everything_before(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as run:
        surfaced = run.prompt.memories[2]
        costs = []
        for context in ("window", "full"):
            cost = Cost()
            await score_memory(run.prompt, run.rescorer, cost, surfaced, context=context)
            costs.append(cost.tokens_naive)
        (whole,) = run.prompt.variants()
        assert costs[0] < costs[1] == 2 * len(whole.ids) - surfaced.tokens


class Kept(list[MemoryScore]):
    """Keeps the scores that are handed over."""

    async def keep(self, score: MemoryScore) -> None:
        self.append(score)


@pytest.mark.anyio
async def test_the_window_of_a_call_has_its_whole_prompt(config: Config) -> None:
    asked, example = message("user", "Say OK.", text(" Mira likes OK.", "likes")), message("assistant", "OK.")
    exchanges = [
        Exchange([asked, example, message("user", "And what now?")], message("assistant", "Nothing.")),
        Exchange([message("user", "Hello.", text(" Mira likes OK.", "likes")), message("user", "OK?")], example),
    ]
    async with opened(call_session(exchanges), config) as run:
        (memory,) = run.prompt.memories
        window, full = [
            await score_memory(run.prompt, run.rescorer, Cost(), memory, context=context)
            for context in ("window", "full")
        ]
        assert window == full


@pytest.mark.anyio
async def test_a_failure_is_skipped_and_counted(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as run:
        failing = FailingRescorer(run.rescorer, run.prompt, {"mira/room"}, ScorerError("out of memory"))
        handed = Kept()
        errors: list[tuple[str, str]] = []
        everything = due_memories(run.prompt, {}, NOW, 3600)
        result = await score_incrementally(
            run.prompt, failing, Cost(), everything, handed.keep, lambda *pair: errors.append(pair), context="full"
        )
        assert [score.key for score in handed] == ["db/port", "retro/time"]
        assert result.scored == tuple(handed)
        assert result.failed == {"mira/room": "out of memory"}
        assert errors == [("mira/room", "out of memory")]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ScorerGoneError("it died"), WeightsChangedError("others now")])
async def test_reported_scores_stay_when_scoring_cannot_continue(
    small_session: Session, config: Config, error: ScorerError
) -> None:
    async with opened(small_session, config) as run:
        gone = FailingRescorer(run.rescorer, run.prompt, {"mira/room"}, error)
        handed = Kept()
        with pytest.raises(type(error)):
            await score_incrementally(
                run.prompt, gone, Cost(), due_memories(run.prompt, {}, NOW, 3600), handed.keep, context="full"
            )
        assert [score.key for score in handed] == ["db/port"]


def test_a_weight_rises_fast_and_falls_slowly() -> None:
    assert moving_average(None, 4.0) == 4.0
    assert moving_average(4.0, 8.0) == 6.0
    assert moving_average(4.0, 0.0) == pytest.approx(3.6)


def test_importance_is_kept_by_weights_agent_key_and_text(tmp_path: Path) -> None:
    database = Database(tmp_path)
    weights = MemoryWeights(database, "w1", "mira")
    weights.add("k", "t1", 4.0, 10.0)
    assert weights.add("k", "t1", 8.0, 20.0) == MemoryWeight(6.0, 20.0, 2)
    weights.add("k", "t2", 1.0, 30.0)
    MemoryWeights(database, "w2", "mira").add("k", "t1", 2.0, 40.0)
    database.close()
    database = Database(tmp_path)
    assert MemoryWeights(database, "w1", "mira").all() == {
        ("k", "t1"): MemoryWeight(6.0, 20.0, 2),
        ("k", "t2"): MemoryWeight(1.0, 30.0, 1),
    }
    assert MemoryWeights(database, "w2", "mira").all() == {("k", "t1"): MemoryWeight(2.0, 40.0, 1)}
    assert MemoryWeights(database, "w1", "tom").all() == {}
    database.close()


def test_a_memorys_text_is_all_it_says_each_thing_once() -> None:
    def texts(*said: str) -> dict[str, str]:
        lines = ['{"type":"session","version":1,"id":"s"}', '{"type":"memory","key":"other","text":"Else."}']
        lines += [f'{{"type":"memory","key":"k","text":"{text}"}}' for text in said]
        return memory_texts(read_native("\n".join([*lines, ""]).encode(), "s"))

    assert list(texts("A.")) == ["other", "k"]
    assert texts("A.")["k"] == texts("A.", "A.")["k"]
    assert len({texts(*said)["k"] for said in (["A."], ["B."], ["A.", "B."], ["A.B."])}) == 4
    assert texts("A.")["other"] == texts("B.")["other"]
