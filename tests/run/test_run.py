"""A run, from a session to a filled grid, with a real model behind it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from memscope.config import Config
from memscope.engines.client import HttpScorer
from memscope.errors import MemscopeError, PromptError, ScorerError, ScorerGoneError, StoreError
from memscope.prompt.sequence import Variant
from memscope.run.run import Run
from memscope.scoring.events import (
    BaselineDone,
    Event,
    Failed,
    Finished,
    NoiseFloorMeasured,
    Notice,
    RowDone,
    RowFailed,
    RowStarted,
    ScorerLost,
    StateChanged,
    StrippedDone,
)
from memscope.scoring.layout import Layout, layout_of
from memscope.scoring.rescoring import Cost, Rescorer, ResponseScore
from memscope.server.compute.attention import BLOCK
from memscope.session.nodes import Memory, Session
from memscope.store.database import Database
from memscope.store.settings import Settings
from tests.conftest import start_scorer, stop_scorer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(session: Session, config: Config) -> AsyncIterator[tuple[Run, list[Event]]]:
    database = Database(config.state_folder())
    run = Run(session, config, database)
    events: list[Event] = []
    run.listen(events.append)
    try:
        yield run, events
    finally:
        await run.close()
        database.close()


def states(events: list[Event]) -> list[str]:
    return [event.state for event in events if isinstance(event, StateChanged)]


def floors(events: list[Event]) -> list[float]:
    return [event.nats for event in events if isinstance(event, NoiseFloorMeasured)]


async def test_a_setting_that_is_not_written_is_announced(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("state database: database or disk is full")

    async with opened(small_session, config) as (run, events):
        monkeypatch.setattr(Settings, "_write", full)
        run.settings.set("threshold", 2.0)
    assert events == [Notice("state database: database or disk is full: a setting was not saved")]


async def test_a_matrix_fills_row_by_row(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        assert [row.key for row in run.grids["necessity"].rows] == ["db/port", "mira/room", "retro/time"]
        assert run.state == "idle"
        await run.matrix()
        grid = run.grids["necessity"]
        assert grid.status == ["done"] * 3
        assert grid.values[0][0] > 3, "the answer states what only this memory tells"
        assert grid.values[2][1] > 3
        assert abs(grid.values[1][0]) < 1, "this memory has nothing to do with the answer"
        assert grid.values[2][0] == 0.0, "a response before the memory is exactly 0"
        assert states(events) == ["starting", "ready", "scoring", "done"]
        assert sum(isinstance(event, RowDone) for event in events) == 3
        assert all(isinstance(row.tokens, int) and row.tokens > 5 for row in grid.rows)
        (floor,) = (event.nats for event in events if isinstance(event, NoiseFloorMeasured))
        assert 0 <= floor < 1e-3


async def test_a_second_run_forwards_nothing(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        first = [list(row) for row in run.grids["necessity"].values]
        assert run.cost.tokens_forwarded > 0
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        assert run.cost.tokens_forwarded == 0
        assert run.cost.calls == 0
        assert [list(row) for row in run.grids["necessity"].values] == first


async def test_the_cost_is_the_exact_minimum(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        prompt = run.prompt
        end = len(prompt.variants()[0].ids)
        minimum = end + sum(m.tokens_after for m in prompt.memories)
        noise_floor = 2 * len(prompt.variants(run.layout.keys)[0].ids)  # all left out, along two paths
        rounding = BLOCK * len(prompt.memories)  # every row begins at the edge of a block
        assert run.cost.tokens_forwarded <= minimum + noise_floor + rounding


async def test_both_dialects_agree(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        one = run.grids["necessity"]
    other_config = msgspec.structs.replace(config, dialect="prompt_logprobs", state=f"{config.state}-2")
    async with opened(small_session, other_config) as (run, _):
        await run.matrix()
        assert run.cost.tokens_forwarded >= run.cost.tokens_naive
        for row, other in zip(one.values, run.grids["necessity"].values, strict=True):
            assert list(row) == pytest.approx(list(other), abs=1e-4)


async def test_sufficiency_shows_what_one_memory_does_alone(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix("sufficiency")
        grid = run.grids["sufficiency"]
        assert grid.status == ["done"] * 3
        assert grid.values[0][0] > 3
        assert run.grids["necessity"].status == ["waiting"] * 3


async def test_one_cell_token_by_token_adds_up_to_the_cell(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        cell = await run.tokens("necessity", "db/port", run.layout.responses[0])
        assert "".join(cell.texts).startswith("The staging database listens on port 7432.")
        change = math.fsum(cell.with_memory) - math.fsum(cell.without_memory)
        assert change == pytest.approx(run.grids["necessity"].values[0][0], abs=1e-3)


async def test_rescoring_one_row_or_column_asks_again(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        before = [list(row) for row in run.grids["necessity"].values]
        await run.matrix(keys=["mira/room"], fresh=True)
        assert run.cost.calls == 2, "the baseline and the row"
        await run.matrix(responses=[run.layout.responses[1]], fresh=True)
        assert run.cost.calls == 4, "the baseline and the rows before that response"
        after = [list(row) for row in run.grids["necessity"].values]
        for old, new in zip(before, after, strict=True):
            assert old == pytest.approx(new, abs=1e-3)


async def test_the_noise_floor_of_one_response_is_not_that_of_all(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        await run.matrix(responses=run.layout.responses[2:])
        grid = run.grids["necessity"]
        alone = grid.noise_floor
        assert (grid.noise_floor_responses, len(floors(events))) == (1, 1)
        await run.matrix()
        assert (grid.noise_floor_responses, len(floors(events))) == (3, 2)
        assert grid.noise_floor is not None
        assert alone is not None
        assert grid.noise_floor >= alone


async def test_a_noise_floor_is_not_measured_on_what_was_forgotten_meanwhile(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, config) as (run, events):
        run.listen(lambda event: run.table.forget(run.layout.responses) if event == StrippedDone() else None)
        await run.matrix(keys=[])
        assert run.grids["necessity"].noise_floor is None
        assert not floors(events)


async def test_a_noise_floor_is_not_measured_between_two_sets_of_weights(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, changed = Rescorer.score, list[str]()

    async def change(
        rescorer: Rescorer, variants: Sequence[Variant], cost: Cost, *, fresh: bool = False, second_path: bool = False
    ) -> dict[int, ResponseScore]:
        scores = await score(rescorer, variants, cost, fresh=fresh, second_path=second_path)
        if second_path and not changed:
            changed.append("another job's")
            assert isinstance(rescorer.scorer, HttpScorer)
            rescorer.scorer.info = msgspec.structs.replace(rescorer.scorer.info, weights=changed[0])
        return scores

    monkeypatch.setattr(Rescorer, "score", change)
    async with opened(small_session, config) as (run, events):
        await run.matrix()
        assert changed
        told = [type(event) for event in events if isinstance(event, BaselineDone | NoiseFloorMeasured)]
        assert told == [BaselineDone, BaselineDone, NoiseFloorMeasured], "the first try has none"


async def test_cancelling_keeps_what_is_done_and_a_second_run_continues(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        run.listen(lambda event: run.cancel() if isinstance(event, RowDone) else None)
        await run.matrix()
        done = run.grids["necessity"].status.count("done")
        assert 1 <= done < 3
        assert states(events)[-1] == "cancelled"
        assert [event.cancelled for event in events if isinstance(event, Finished)] == [True]
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        assert run.grids["necessity"].status == ["done"] * 3
        assert run.cost.calls < 5, "what was scored before is remembered"


async def test_pausing_starts_no_further_row_until_resumed(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        settled = asyncio.Event()

        def pause_and_count(event: Event) -> None:
            if isinstance(event, RowStarted):
                run.pause()
            started, done = (sum(isinstance(e, kind) for e in events) for kind in (RowStarted, RowDone))
            if 0 < started == done:
                settled.set()

        run.listen(pause_and_count)
        scoring = asyncio.create_task(run.matrix())
        await settled.wait()
        for _ in range(100):  # whatever could start a row gets its turn
            await asyncio.sleep(0)
        assert run.state == "paused"
        assert run.grids["necessity"].status.count("waiting") == 1, "the rows under way end, and no other starts"
        run.resume()
        await scoring
        assert states(events)[-1] == "done"
        assert run.grids["necessity"].status == ["done"] * 3


async def test_a_failed_row_is_marked_and_retried_on_request(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, config) as (run, events):
        await run.open()
        real = HttpScorer.score
        calls = 0

        async def fifth_fails(*args: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 5:
                raise ScorerError("the model gave nan")
            return await real(*args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(HttpScorer, "score", fifth_fails)
        await run.matrix()
        grid = run.grids["necessity"]
        (failed,) = grid.errors
        assert grid.keys_with("failed") == [failed]
        assert grid.errors[failed] == "the model gave nan"
        assert [event.key for event in events if isinstance(event, RowFailed)] == [failed]
        assert math.isnan(grid.values[grid.layout.keys.index(failed)][2]), "a failed row is never shown as zeros"
        await run.matrix(keys=[failed])
        assert run.grids["necessity"].status == ["done"] * 3
        assert not grid.errors


async def test_a_scorer_that_dies_is_lost_and_can_be_restarted(small_session: Session, tmp_path: object) -> None:
    config = Config(state=f"{tmp_path}/state")
    async with opened(small_session, config) as (run, events):
        await run.open()
        assert run.scorer is not None
        assert run.scorer.kind == "embedded"
        await run.matrix()
        assert run._source._server is not None
        os.kill(run._source._server.pid, signal.SIGKILL)
        await run._source._server._process.wait()
        with pytest.raises(ScorerGoneError):
            await run.matrix(fresh=True)
        (lost,) = (event for event in events if isinstance(event, ScorerLost))
        assert "the scorer was killed by SIGKILL" in lost.last_lines[-1]
        assert run.state == "failed"
        await run.replace_session(with_late_head(small_session))
        assert run.grids["necessity"].status == ["waiting"] * 4, "nothing that was scored before holds for it"
        await run.restart_scorer()
        await run.matrix(keys=["db/port"], fresh=True)
        assert states(events)[-1] == "done"


async def test_no_server_is_one_clear_line(small_session: Session, tmp_path: object) -> None:
    config = Config(url="http://127.0.0.1:9/v1", state=f"{tmp_path}/state")
    async with opened(small_session, config) as (run, events):
        with pytest.raises(ScorerGoneError, match=r"http://127\.0\.0\.1:9: no scorer responds"):
            await run.matrix()
        assert run.state == "failed"
        assert any(isinstance(event, ScorerLost) for event in events)


async def test_a_session_that_is_too_long_says_where(small_session: Session, config: Config) -> None:
    address = start_scorer("--max-model-len", "60")
    try:
        short = msgspec.structs.replace(config, url=address.url)
        async with opened(small_session, short) as (run, events):
            with pytest.raises(PromptError, match=r"too long for .*conversation node"):
                await run.matrix()
            assert any(isinstance(event, Failed) for event in events)
    finally:
        stop_scorer(address)


async def test_an_unusable_state_folder_is_reported_and_the_run_continues(
    small_session: Session, config: Config
) -> None:
    state = config.state_folder()
    state.parent.mkdir(exist_ok=True)
    state.write_text("in the way")
    async with opened(small_session, config) as (run, events):
        await run.matrix()
        assert run.state == "done"
        assert any("without cache" in event.text for event in events if isinstance(event, Notice))


async def test_a_second_matrix_waits_for_the_first(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        started = asyncio.Event()
        run.listen(lambda event: started.set() if isinstance(event, RowStarted) else None)
        first = asyncio.create_task(run.matrix())
        await started.wait()
        await run.matrix("sufficiency")
        assert first.done()
        assert states(events) == ["starting", "ready", "scoring", "done", "scoring", "done"]
        assert run.grids["sufficiency"].status == ["done"] * 3


async def test_a_matrix_that_waits_for_its_turn_can_be_cancelled(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, _):
        started = asyncio.Event()
        run.listen(lambda event: started.set() if isinstance(event, RowStarted) else None)
        first = asyncio.create_task(run.matrix())
        await started.wait()
        second = asyncio.create_task(run.matrix(fresh=True))
        while not run._slot.is_awaited:
            await asyncio.sleep(0)
        second.cancel()
        await first
        assert run.grids["necessity"].status == ["done"] * 3


async def test_a_matrix_that_is_told_to_stop_finishes_the_rows_in_progress(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, config) as (run, events):
        await run.matrix(stop=lambda: any(isinstance(event, RowStarted) for event in events))
        started = [event.key for event in events if isinstance(event, RowStarted)]
        assert 0 < len(started) < 3
        assert run.grids["necessity"].keys_with("done") == started
        assert run.state == "done"
        await run.matrix()
        assert run.cost.calls == 3 - len(started), "what was finished is not asked for again"


async def test_a_wrong_dialect_or_model_is_refused(small_session: Session, config: Config) -> None:
    for change, words in (
        ({"dialect": "smoke"}, "expected auto, score"),
        ({"model": "other"}, "does not serve 'other'"),
    ):
        async with opened(small_session, msgspec.structs.replace(config, **change)) as (run, _):
            with pytest.raises(MemscopeError, match=words):
                await run.open()


def first_part(session: Session, nodes: int) -> Session:
    return msgspec.structs.replace(session, nodes=session.nodes[:nodes])


def with_late_head(session: Session) -> Session:
    """Return a session to which a memory was appended that comes before every response."""
    head = Memory(key="late/head", text="The retro meeting is on Friday at 9:00.", section="identity")
    return msgspec.structs.replace(session, nodes=(*session.nodes, head))


async def test_a_session_that_grows_during_a_run_loses_no_cell_and_asks_only_for_new_ones(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, msgspec.structs.replace(config, state=f"{config.state}-fresh")) as (run, _):
        await run.matrix()
        whole = [list(row) for row in run.grids["necessity"].values]
    short = first_part(small_session, len(small_session.nodes) - 2)
    async with opened(short, config) as (run, _):
        growing: list[asyncio.Task[None]] = []

        def grow(event: Event) -> None:
            if isinstance(event, RowDone) and not growing:
                growing.append(asyncio.create_task(run.replace_session(small_session)))

        run.listen(grow)
        await run.matrix()
        await growing[0]
        grid = run.grids["necessity"]
        assert len(grid.columns) == 3
        assert grid.status == ["waiting"] * 3, "the new response is not scored yet"
        known = [[value for value in row if not math.isnan(value)] for row in grid.values]
        assert [len(row) for row in known] == [2, 2, 2], "what the running matrix scored stays"
        await run.matrix()
        assert run.cost.calls == 5, "the baseline, no memories at all, and three rows, for the new response alone"
        assert [list(row) for row in grid.values] == [pytest.approx(row, abs=1e-3) for row in whole]
        if run.rescorer.scorer.info.reuses_prefixes:  # a machine may compute the model without
            assert [list(row) for row in grid.values] == whole, "the same to the last bit"
        await run.matrix()
        assert run.cost.calls == 0


async def test_what_reads_differently_after_the_session_changed_is_scored_again(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        before = list(run.grids["necessity"].values[0])
        await run.replace_session(with_late_head(small_session))
        grid = run.grids["necessity"]
        assert grid.status == ["waiting"] * 4, "a memory in the prompt's head comes before every response"
        await run.matrix()
        assert list(grid.values[0]) != before
        assert grid.status == ["done"] * 4


async def test_a_row_that_was_asked_for_before_the_session_changed_is_not_one_of_the_new_session(
    small_session: Session, config: Config
) -> None:
    longer = with_late_head(small_session)
    async with opened(longer, msgspec.structs.replace(config, state=f"{config.state}-fresh")) as (run, _):
        await run.matrix()
        expected = [list(row) for row in run.grids["necessity"].values]
    async with opened(small_session, config) as (run, _):
        growing: list[asyncio.Task[None]] = []

        def grow(event: Event) -> None:
            if isinstance(event, RowStarted) and not growing:
                growing.append(asyncio.create_task(run.replace_session(longer)))

        run.listen(grow)
        await run.matrix()
        await growing[0]
        await run.matrix()
        assert [list(row) for row in run.grids["necessity"].values] == expected


async def test_a_row_that_the_session_no_longer_has_is_not_scored(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        await run.matrix(keys=["gone", "db/port"])
        assert [event.key for event in events if isinstance(event, RowStarted)] == ["db/port"]


async def test_a_session_is_laid_out_off_the_event_loop(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def laid_out(session: Session) -> Layout:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return layout_of(session)

    async with opened(first_part(small_session, 2), config) as (run, _):
        monkeypatch.setattr("memscope.run.run.layout_of", laid_out)
        await run.replace_session(first_part(small_session, 3))
        await run.open()
        await run.replace_session(small_session)
        assert len(run.layout.columns) == 3


async def test_a_memory_that_takes_the_key_of_another_has_scores_of_its_own(
    small_session: Session, config: Config
) -> None:
    names = {"db/port": "mira/room", "mira/room": "db/port"}
    exchanged = [
        msgspec.structs.replace(node, key=names.get(node.key, node.key)) if isinstance(node, Memory) else node
        for node in small_session.nodes
    ]
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        grid = run.grids["necessity"]
        port, room = list(grid.values[0]), list(grid.values[1])
        await run.replace_session(msgspec.structs.replace(small_session, nodes=tuple(exchanged)))
        await run.matrix()
        assert run.layout.keys[:2] == ("mira/room", "db/port")
        assert [list(grid.values[0]), list(grid.values[1])] == [port, room]


async def test_a_response_that_comes_back_after_another_context_has_none_of_its_old_scores(
    small_session: Session, config: Config
) -> None:
    other = [
        msgspec.structs.replace(node, text="The retro was cancelled.")
        if getattr(node, "key", "") == "retro/time"
        else node
        for node in small_session.nodes
    ]
    async with opened(small_session, config) as (run, _):
        await run.matrix()
        await run.replace_session(first_part(small_session, 6))
        await run.replace_session(msgspec.structs.replace(small_session, nodes=tuple(other)))
        port = run.grids["necessity"].values[0]
        assert [math.isnan(nats) for nats in port] == [False, True, True], "only the first stayed all the time"


async def test_a_session_is_replaced_before_there_is_a_scorer(small_session: Session, config: Config) -> None:
    async with opened(first_part(small_session, 2), config) as (run, _):
        await run.replace_session(small_session)
        assert len(run.layout.columns) == 3
        await run.matrix()
        assert run.grids["necessity"].status == ["done"] * 3


async def test_a_session_without_responses_is_an_empty_matrix(small_session: Session, config: Config) -> None:
    async with opened(first_part(small_session, 2), config) as (run, events):
        assert not run.layout.columns
        await run.matrix()
        assert run.state == "done"
        assert not any(isinstance(event, Failed) for event in events)
