"""A run that follows a file: not a cell is lost or scored twice, and the newest response comes first."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from memscope.config import Config
from memscope.engines.client import HttpScorer
from memscope.errors import PromptError, ScorerError
from memscope.run import following
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.scoring import matrix
from memscope.scoring.events import Event, Failed, Finished, Notice, RowDone, RowStarted, SessionGrown, StateChanged
from memscope.scoring.rescoring import AblationScorer
from memscope.scoring.table import Ablation
from memscope.session.follow import FollowedFile, empty_session
from memscope.session.load import load_session
from memscope.store.database import Database
from tests.conftest import SMALL_SESSION

pytestmark = pytest.mark.anyio

LINES = SMALL_SESSION.splitlines(keepends=True)
QUESTION, ANSWER = LINES[4], LINES[5]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.0)


class Followed:
    """A run that follows a file, what it announced, and what its scorer was asked for."""

    def __init__(self, path: Path, run: Run, task: Following) -> None:
        self.path, self.run, self.following = path, run, task
        self.events: list[Event] = []
        run.listen(self.events.append)
        self.asked: Counter[tuple[Ablation, str]] = Counter()

    def append(self, *lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(lines))

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for an event after which something is so."""
        changed = asyncio.Event()
        stop = self.run.listen(lambda _: changed.set())
        async with asyncio.timeout(60):
            while not reached():
                await changed.wait()
                changed.clear()
        stop()

    async def scored(self, responses: int) -> None:
        """Wait until a number of responses is scored, with and without every memory."""
        await self.until(
            lambda: (
                len(self.run.layout.columns) == responses and not self.following.pending and self.run.state == "done"
            )
        )

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


@asynccontextmanager
async def followed(path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    database = Database(config.state_folder())
    file = FollowedFile(path)
    update = file.poll()
    run = Run(update.session or empty_session(file), config, database)
    case = Followed(path, run, Following(run, file, update.notices))
    fill = AblationScorer.fill

    async def noted(
        scorer: AblationScorer, ablation: Ablation, responses: Iterable[str] | None = None, *, fresh: bool = False
    ) -> bool:
        wanted = list(scorer.layout.responses if responses is None else responses)
        case.asked.update((ablation, one) for one in scorer.table.missing(ablation, wanted))
        return await fill(scorer, ablation, wanted, fresh=fresh)

    monkeypatch.setattr(AblationScorer, "fill", noted)
    task = asyncio.create_task(case.following.follow())
    try:
        yield case
        assert not task.done(), "nothing ends it but its cancellation"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await run.close()
        database.close()


async def fresh_values(path: Path, config: Config) -> list[list[float]]:
    """The matrix of a file that is complete, scored at once."""
    config = msgspec.structs.replace(config, state=f"{config.state}-fresh")
    database = Database(config.state_folder())
    run = Run(load_session(path), config, database)
    try:
        await run.matrix()
        return [list(row) for row in run.grids["necessity"].values]
    finally:
        await run.close()
        database.close()


async def test_a_file_with_responses_and_no_memory_says_where_to_find_help(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with followed(tmp_path / "live.jsonl", config, monkeypatch) as case:
        case.append(*LINES[:2], *LINES[4:6])
        await case.until(lambda: len(case.run.layout.columns) == 1)
        assert case.following.waiting_for == f"waiting for the first memory in {case.path}"
        await case.until(lambda: len(case.following.advice) > 1)
        assert "a native session names its memories" in case.following.advice[1]
        case.append(LINES[2])
        await case.until(lambda: not case.following.waiting_for)
        assert case.following.advice == ()


async def test_a_file_is_followed_from_before_it_exists(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with followed(tmp_path / "live.jsonl", config, monkeypatch) as case:
        assert case.following.status == "waiting"
        await case.until(lambda: case.run.state == "ready")
        case.append(*LINES[:1])
        await case.until(lambda: case.run.session.header.id == "small")
        assert case.following.waiting_for == f"waiting for the first memory and the first response in {case.path}"
        case.append(*LINES[1:4])
        await case.until(lambda: len(case.run.layout.rows) == 2)
        assert case.following.waiting_for == f"waiting for the first response in {case.path}"
        case.append(*LINES[4:])
        await case.scored(3)
        assert case.following.waiting_for == ""
        assert case.following.lag_seconds == 0
        assert max(case.asked.values()) == 1
        values = [list(row) for row in case.run.grids["necessity"].values]
        assert values == await fresh_values(case.path, config)


async def test_the_newest_response_comes_first_and_its_memories_by_expected_effect(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with followed(path, config, monkeypatch) as case:
        await case.scored(1)
        case.events.clear()
        case.append(*LINES[6:10])
        await case.scored(2)
        started = [event.key for event in case.events if isinstance(event, RowStarted)]
        assert started == ["retro/time", "db/port", "mira/room"]


async def test_something_newer_lets_rows_in_progress_finish_and_goes_first(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:10]))
    async with followed(path, config, monkeypatch) as case:
        held = asyncio.Event()
        score = HttpScorer.score

        async def slowly(*given: object, **options: object) -> object:
            if any(isinstance(event, RowStarted) for event in case.events):
                await held.wait()
            return await score(*given, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(HttpScorer, "score", slowly)
        await case.until(lambda: any(isinstance(event, RowStarted) for event in case.events))
        case.append(*LINES[10:])
        await case.until(lambda: len(case.run.layout.columns) == 3)
        assert not any(isinstance(event, RowDone) for event in case.events)
        held.set()
        await case.scored(3)
        kinds = [type(event) for event in case.events if isinstance(event, RowStarted | RowDone | Finished)]
        first = kinds[: kinds.index(Finished)]
        assert first.count(RowStarted) == first.count(RowDone) == 2, "the third row of three gives way"
        assert max(case.asked.values()) == 1
        values = [list(row) for row in case.run.grids["necessity"].values]
        assert values == await fresh_values(path, config)


@pytest.mark.parametrize("seed", range(3))
async def test_appends_and_rows_in_any_order_give_the_matrix_of_the_whole_file(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    lines = LINES[4:] * 2
    async with followed(tmp_path / "live.jsonl", config, monkeypatch) as case:
        case.append(*LINES[:4])
        while lines:
            count = rng.randrange(1, 5)
            case.append(*lines[:count])
            del lines[:count]
            for _ in range(rng.randrange(4)):  # some rows, or parts of them, come in between
                heard = len(case.events)
                await case.until(lambda heard=heard: len(case.events) > heard or case.run.state == "done")  # type: ignore[misc]
        await case.scored(6)
        assert set(case.asked.values()) == {1}, "each ablation of each response was asked for once"
        values = [list(row) for row in case.run.grids["necessity"].values]
        assert values == await fresh_values(case.path, config)


async def test_a_burst_is_one_new_version_not_one_a_node(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with followed(path, config, monkeypatch) as case:
        await case.scored(1)
        case.following.pause()
        case.events.clear()
        case.append(*[QUESTION, ANSWER] * 500)
        await case.until(lambda: len(case.run.layout.columns) == 501)
        assert case.following.pending == 1000
        # Two if the file is looked at in the middle of the write.
        assert sum(isinstance(event, SessionGrown) for event in case.events) <= 2


async def test_pausing_shows_new_nodes_but_scores_none(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with followed(path, config, monkeypatch) as case:
        await case.scored(1)
        case.following.pause()
        calls = sum(case.asked.values())
        case.append(QUESTION, ANSWER)
        await case.until(lambda: len(case.run.layout.columns) == 2)
        assert (case.following.status, case.following.pending) == ("paused", 2)
        assert sum(case.asked.values()) == calls
        case.following.resume()
        await case.scored(2)


async def test_another_matrix_takes_its_turn_between_rows(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(SMALL_SESSION)
    async with followed(path, config, monkeypatch) as case:
        await case.until(lambda: any(isinstance(event, RowStarted) for event in case.events))
        await case.run.matrix(keys=["mira/room"], fresh=True)
        await case.scored(3)
        finished = [event.routine for event in case.events if isinstance(event, Finished)]
        assert finished == [True, False, True]


async def test_the_other_measure_is_scored_when_it_is_shown(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(SMALL_SESSION)
    async with followed(path, config, monkeypatch) as case:
        case.following.score("sufficiency")
        await case.scored(3)
        assert case.run.grids["sufficiency"].status == ["done"] * 3


async def test_a_row_that_fails_is_tried_again_with_the_next_version_only(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with followed(path, config, monkeypatch) as case:
        score, failures = HttpScorer.score, [0]

        async def fails(*given: object, **options: object) -> object:
            if any(isinstance(event, RowStarted) for event in case.events) and not failures[0]:
                failures[0] += 1
                raise ScorerError("out of memory")
            return await score(*given, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(HttpScorer, "score", fails)
        await case.scored(1)
        assert sorted(case.run.grids["necessity"].status) == ["done", "failed"]
        case.append(QUESTION, ANSWER)
        await case.scored(2)
        assert case.run.grids["necessity"].status == ["done", "done"]


async def test_what_happens_to_the_file_is_said_and_survived(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(SMALL_SESSION)
    async with followed(path, config, monkeypatch) as case:
        await case.scored(3)
        path.write_bytes(b"".join(LINES[:2] + LINES[4:6]))
        await case.scored(1)
        assert f"{path} was truncated: reading it from the start" in case.notices
        path.unlink()
        await case.until(lambda: any("was deleted" in line for line in case.notices))
        assert case.following.status == "waiting"
        path.write_bytes(b"not JSON\n")
        await case.until(lambda: any("waiting for another file in its place" in line for line in case.notices))
        path.unlink()
        await case.until(lambda: sum("was deleted" in line for line in case.notices) == 2)
        path.write_bytes(SMALL_SESSION)
        await case.scored(3)
        values = [list(row) for row in case.run.grids["necessity"].values]
        assert values == await fresh_values(path, config), "nothing of the earlier contents is left"


async def test_a_lost_scorer_is_tried_again_with_the_next_version(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    nowhere = msgspec.structs.replace(config, url="http://127.0.0.1:9/v1")
    async with followed(path, nowhere, monkeypatch) as case:
        await case.until(lambda: case.run.state == "failed")
        case.run._source._config = config
        case.append(QUESTION, ANSWER)
        await case.scored(2)
        assert StateChanged("done") in case.events


async def test_a_session_that_became_too_long_is_told_once(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with followed(path, config, monkeypatch) as case:
        await case.scored(1)

        def refuse(*_: object) -> None:
            raise PromptError("the session is too long")

        monkeypatch.setattr(matrix, "check_fits", refuse)
        for count in (2, 3):
            tried = len([event for event in case.events if isinstance(event, Finished)])
            case.append(QUESTION, ANSWER)
            await case.until(lambda count=count: len(case.run.layout.columns) == count)  # type: ignore[misc]
            await case.until(
                lambda tried=tried: len([e for e in case.events if isinstance(e, Finished)]) > tried  # type: ignore[misc]
            )
        failures = [event for event in case.events if isinstance(event, Failed)]
        assert failures == [Failed("the session is too long")]
