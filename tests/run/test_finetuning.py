"""Fine-tuning, from candidates to the proof, with a real model that is really trained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from memscope.config import Config
from memscope.engines.base import ScorerInfo
from memscope.engines.client import HttpScorer
from memscope.engines.transport import RefusedError
from memscope.errors import ScorerError, ScorerGoneError, StoreError, TrainingError
from memscope.prompt.sequence import Variant
from memscope.run.finetuning import FineTuning
from memscope.run.run import Run
from memscope.scoring.events import (
    AlternateDone,
    AlternateFailed,
    AlternateGrew,
    Event,
    JobProgress,
    Notice,
    ShipmentChanged,
    StrippedDone,
)
from memscope.scoring.rescoring import Cost, ResponseScore, WeightsChangedError
from memscope.session.nodes import Memory, Session
from memscope.store.alternates import Alternates
from memscope.store.database import Database
from memscope.store.ledger import EMBEDDED, Ledger, Sample
from tests.conftest import ScorerAddress
from tests.engines.faulty import Asked, between

pytestmark = pytest.mark.anyio


@pytest.fixture
def training(config: Config, trainer: ScorerAddress) -> Config:
    return msgspec.structs.replace(config, url=trainer.url)


@asynccontextmanager
async def opened(session: Session, config: Config) -> AsyncIterator[tuple[FineTuning, list[Event]]]:
    database = Database(config.state_folder())
    run = Run(session, config, database)
    events: list[Event] = []
    run.listen(events.append)
    try:
        yield FineTuning(run), events
        await quiet(run)
    finally:
        await run.close()
        database.close()


async def quiet(run: Run) -> None:
    """Wait until no job is left that would change the weights under the next test."""
    with suppress(ScorerGoneError, RefusedError):
        while any(job["status"] in ("queued", "running") for job in await listed(run)):
            await asyncio.sleep(0.05)


def without_fingerprint(asked: Asked, reply: Any) -> Any:
    """Answer as a server that says nothing of its weights."""
    if asked.path == "/v1/models":
        reply["data"][0]["weights"] = ""
    if asked.path in ("/v1/score", "/v1/completions"):
        reply.pop("weights", None)
    return reply


def ids(tuning: FineTuning, *places: int) -> list[str]:
    """Return the ids of responses by their number."""
    return [tuning.run.layout.responses[place] for place in places]


def id_at(tuning: FineTuning, place: int) -> str:
    """Return the id of one response."""
    return tuning.run.layout.responses[place]


async def listed(run: Run) -> list[dict[str, str]]:
    """Return the server's jobs."""
    answer = await run.transport.get("/v1/train")
    jobs: list[dict[str, str]] = answer["jobs"]
    return jobs


async def test_candidates_are_responses_with_timestamps_that_depend_on_memories(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, config) as (tuning, events):
        findings = await tuning.candidates.find()
        assert {c.index for c in findings.candidates} == {0, 1}
        divergences = [c.divergence for c in findings.candidates]
        assert divergences == sorted(divergences, reverse=True)
        stripped = tuning.run.grids["necessity"].stripped
        assert [stripped[c.index] for c in findings.candidates] == divergences
        assert StrippedDone() in events
        window = await tuning.candidates.find(5, "window")
        assert [c.index for c in window.candidates] == [1]
        assert window.responses_seen == 2


async def test_a_response_that_reads_differently_by_now_is_no_candidate(small_session: Session, config: Config) -> None:
    head = Memory(key="late/head", text="The retro meeting is on Friday at 9:00.", section="identity")
    async with opened(small_session, config) as (tuning, _):
        assert (await tuning.candidates.find()).candidates
        await tuning.run.replace_session(msgspec.structs.replace(small_session, nodes=(*small_session.nodes, head)))
        assert tuning.candidates.findings().responses_seen == 0
        assert (await tuning.candidates.find()).responses_seen == 3


async def test_the_threshold_is_kept_and_needs_no_new_scores(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, _):
        assert tuning.candidates.threshold == 1.0
        highest = (await tuning.candidates.find()).max_divergence
        assert highest is not None
        tuning.candidates.threshold = highest + 1
        assert tuning.candidates.findings().why_none is not None
    async with opened(small_session, config) as (tuning, _):
        assert tuning.candidates.threshold == highest + 1
    async with opened(small_session, msgspec.structs.replace(config, threshold=2.0)) as (tuning, _):
        assert tuning.candidates.threshold == 2.0, "what is configured counts more than what was set once"


async def test_toggles_and_decisions_survive(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, _):
        await tuning.run.open()
        assert (tuning.candidates.alternates_on, tuning.shipping.context) == (False, "without")
        tuning.candidates.alternates_on, tuning.shipping.context = True, "with"
        tuning.candidates.decide(ids(tuning, 0, 2), "approved")
        tuning.candidates.decide(ids(tuning, 1, 2), "rejected")
    async with opened(small_session, config) as (tuning, _):
        assert (tuning.candidates.alternates_on, tuning.shipping.context) == (True, "with")
        assert list(tuning.candidates.decisions().values()) == ["approved", "rejected", "rejected"]
        await tuning.candidates.find(fresh=True)
        assert list(tuning.candidates.decisions().values()) == ["approved", "rejected", "rejected"]


async def test_an_alternate_grows_is_repeatable_and_is_remembered(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, events):
        text = await tuning.candidates.alternate(id_at(tuning, 0))
        grown = [event.text for event in events if isinstance(event, AlternateGrew)]
        assert text == grown[-1]
        assert len(grown) > 2
        assert "7432" not in (text or "7432"), "nothing in its context says so"
        assert AlternateDone(id_at(tuning, 0), text or "") in events
        events.clear()
        assert await tuning.candidates.alternate(id_at(tuning, 0)) == text
        assert len([event for event in events if isinstance(event, AlternateGrew)]) == 1, "a remembered one is whole"
    other = msgspec.structs.replace(config, state=f"{config.state}-other")
    async with opened(small_session, other) as (tuning, _):
        assert await tuning.candidates.alternate(id_at(tuning, 0)) == text, "the seed makes it repeatable"


async def test_an_alternate_is_one_of_the_weights_in_use_now(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, events):
        text = await tuning.candidates.alternate(id_at(tuning, 0))
        scorer = tuning.run.rescorer.scorer
        assert isinstance(scorer, HttpScorer)
        scorer.info = msgspec.structs.replace(scorer.info, weights="those before training")
        events.clear()
        assert await tuning.candidates.alternate(id_at(tuning, 0)) == text
        assert len([event for event in events if isinstance(event, AlternateGrew)]) == 1, "it is remembered for them"


async def test_an_alternate_drawn_while_the_weights_changed_is_not_remembered(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, config) as (tuning, _):
        await tuning.run.open()
        scorer = tuning.run.rescorer.scorer

        async def others() -> ScorerInfo:
            return msgspec.structs.replace(scorer.info, weights="another job's")

        def change(event: Event) -> None:
            if isinstance(event, AlternateGrew):
                monkeypatch.setattr(scorer, "refresh", others)

        tuning.run.listen(change)
        assert await tuning.candidates.alternate(id_at(tuning, 0))
        with tuning.run.database.transaction() as connection:
            assert connection.execute("SELECT COUNT(*) FROM alternates").fetchone() == (0,)


async def test_an_alternate_that_fails_leaves_the_others_alone(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, config) as (tuning, events):
        await tuning.run.open()
        context = tuning.run.prompt.context_ids

        def broken(response: int, *rest: object) -> object:
            if response == 0:
                raise ScorerError("no room")
            return context(response, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(tuning.run.prompt, "context_ids", broken)
        assert await tuning.candidates.alternate(id_at(tuning, 0)) is None
        assert await tuning.candidates.alternate(id_at(tuning, 1)) is not None
        assert [event for event in events if isinstance(event, AlternateFailed)] == [
            AlternateFailed(id_at(tuning, 0), "no room")
        ]


async def test_an_alternate_can_be_cancelled_and_is_not_remembered_then(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, events):
        begun = asyncio.Event()
        tuning.run.listen(lambda event: begun.set() if isinstance(event, AlternateGrew) else None)
        work = asyncio.create_task(tuning.candidates.alternate(id_at(tuning, 1)))
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert not any(isinstance(event, AlternateDone) for event in events)
        with tuning.run.database.transaction() as connection:
            assert connection.execute("SELECT COUNT(*) FROM alternates").fetchone() == (0,)


async def test_an_alternate_that_cannot_be_stored_is_still_shown(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk is full")

    monkeypatch.setattr(Alternates, "put", full)
    async with opened(small_session, config) as (tuning, events):
        assert await tuning.candidates.alternate(id_at(tuning, 0))
        assert any("was not stored: disk is full" in e.text for e in events if isinstance(e, Notice))


async def test_a_review_says_all_that_will_leave(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, _):
        review = await tuning.shipping.review(ids(tuning, 1, 0, 1), "without")
        assert review.responses == tuple(ids(tuning, 1, 0))
        assert review.tokens == sum(sample.tokens for sample in review.samples)
        assert review.address.startswith("http://127.0.0.1:")
        assert review.address.endswith("/v1/train")
        with pytest.raises(TrainingError, match="no longer in the session: nothing was sent"):
            await tuning.shipping.review([*ids(tuning, 1), "f" * 24], "without")
        assert review.loopback
        assert "without being told" in review.effect
        context, learned = review.example
        assert learned == "The retro meeting is on Thursday at 15:30.<|im_end|>"
        assert "Mira" not in context
        with pytest.raises(TrainingError, match="no response is selected"):
            await tuning.shipping.review([], "without")


async def test_a_foreign_address_is_known_once_it_was_agreed_to(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (tuning, _):
        review = await tuning.shipping.review(ids(tuning, 0), "without")
        tuning.shipping.trust("http://10.0.0.1/v1/train")
        tuning.shipping.trust(review.address)
        assert tuning.run.settings.get("trusted http://10.0.0.1/v1/train", False)
        assert not tuning.run.settings.get(f"trusted {review.address}", False), "loopback is never asked about"


async def test_the_whole_round_trains_and_measures_the_effect(small_session: Session, training: Config) -> None:
    async with opened(small_session, training) as (tuning, events):
        await tuning.run.matrix()
        before = await tuning.candidates.find()
        review = await tuning.shipping.review(ids(tuning, 0, 1), "without")
        key, job = await tuning.shipping.send(review)
        assert tuning.shipping.marks() == dict.fromkeys(ids(tuning, 0, 1), "trained")
        job = await tuning.shipping.watch(key, job)
        assert job.status == "succeeded"
        assert tuning.shipping.history.unmeasured() == (key,)
        assert job.step == job.steps > 0
        proof = await tuning.verify(key)
        assert tuning.shipping.history.unmeasured() == ()
        assert dict(proof.before) == {c.id: c.divergence for c in before.candidates}
        assert proof.fall > 0.9
        assert proof.others_moved < 3
        assert {index: known.after for index, known in tuning.shipping.history.trained().items()} == dict(proof.after)
        assert not any(known.running or known.lost for known in tuning.shipping.history.trained().values())
        assert tuning.candidates.findings().trained + len(tuning.candidates.findings().candidates) <= 2
        assert [e.state for e in events if isinstance(e, ShipmentChanged)] == ["prepared", "accepted", "succeeded"]
        assert [e.status for e in events if isinstance(e, JobProgress)][-1] == "succeeded"
        assert tuning.run.earlier_grids["necessity"].scored(0, 0), "the delta view needs what was before"
        with pytest.raises(TrainingError, match="response 0 is already trained"):
            await tuning.shipping.review(ids(tuning, 0), "without")
        again = await tuning.shipping.review(ids(tuning, 0), "with", again=True)
        await tuning.shipping.send(again, again=True)
        assert tuning.shipping.context == "with"
        assert len(tuning.shipping.history.shipments()) == 2


async def test_a_job_that_changed_little_is_proved_by_new_scores(
    small_session: Session, training: Config, trainer: ScorerAddress
) -> None:
    """What a server says of its weights is left out, and its other numbers move no more than noise does."""
    async with (
        between(trainer, without_fingerprint) as url,
        opened(small_session, msgspec.structs.replace(training, url=url)) as (tuning, _),
    ):
        review = await tuning.shipping.review(ids(tuning, 1), "without")
        key, job = await tuning.shipping.send(review, again=True, options={"steps": 1, "learning_rate": 1e-6})
        assert (await tuning.shipping.watch(key, job)).status == "succeeded"
        proof = await tuning.shipping.verify(key)
        assert proof.after != proof.before
        weights = tuning.run.rescorer.weights
        assert weights.endswith(f"+{job.id}"), "even rounded numbers that are the same ones are of other weights"
        await tuning.run.refresh_weights()
        assert tuning.run.rescorer.weights == weights


async def test_a_job_that_ends_while_scores_are_asked_for_costs_only_time(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, config) as (tuning, _):
        await tuning.run.open()
        score, changes = tuning.run.rescorer.score, 1

        async def changed(variants: Sequence[Variant], cost: Cost, *, fresh: bool = False) -> dict[int, ResponseScore]:
            nonlocal changes
            if changes:
                changes -= 1
                raise WeightsChangedError("the weights changed")
            return await score(variants, cost, fresh=fresh)

        monkeypatch.setattr(tuning.run.rescorer, "score", changed)
        assert (await tuning.candidates.find()).responses_seen == 3
        changes = 2
        with pytest.raises(WeightsChangedError):
            await tuning.candidates.find(fresh=True)


async def test_what_an_earlier_memscope_left_is_settled_first(small_session: Session, training: Config) -> None:
    async with opened(small_session, training) as (tuning, _):
        review = await tuning.shipping.review(ids(tuning, 0), "without")
        key, job = await tuning.shipping.send(review)
        await tuning.shipping.watch(key, job)
        with tuning.run.database.transaction() as connection:
            connection.execute("UPDATE shipments SET state = 'in doubt', job = NULL")
    async with opened(small_session, training) as (tuning, events):
        await tuning.candidates.find()
        assert [e for e in events if isinstance(e, ShipmentChanged)] == [
            ShipmentChanged(key, "succeeded", job.id, None)
        ]


async def test_a_job_that_the_server_forgot_stays_as_it_was_and_is_said(
    small_session: Session, training: Config
) -> None:
    async with opened(small_session, training) as (tuning, events):
        review = await tuning.shipping.review(ids(tuning, 0), "without")
        ledger = Ledger(tuning.run.database)
        key = ledger.prepare(review.address, "tiny", "small", "without", [Sample("other", 0, None)])
        ledger.mark_sent(key)
        ledger.mark_accepted(key, "job-of-old")
        await tuning.shipping.settle()
        assert ledger.shipments()[0].state == "accepted"
        assert any("no job 'job-of-old'" in e.text for e in events if isinstance(e, Notice))


async def test_an_embedded_scorers_shipments_are_not_looked_for_elsewhere(
    small_session: Session, training: Config
) -> None:
    async with opened(small_session, training) as (tuning, events):
        ledger = Ledger(tuning.run.database)
        key = ledger.prepare(f"{EMBEDDED}http://127.0.0.1:1/v1/train", "m", "small", "without", [])
        ledger.mark_sent(key)
        ledger.mark_accepted(key, "job")
        await tuning.shipping.settle()
        assert not any("shipment" in event.text for event in events if isinstance(event, Notice))


async def test_a_server_that_cannot_train_says_so_and_frees_the_responses(
    small_session: Session, config: Config
) -> None:
    async with opened(small_session, config) as (tuning, _):
        review = await tuning.shipping.review(ids(tuning, 0), "without")
        with pytest.raises(TrainingError, match="cannot train"):
            await tuning.shipping.send(review)
        assert tuning.shipping.marks() == {}
        assert [s.state for s in tuning.shipping.history.shipments()] == ["failed"]
        with pytest.raises(TrainingError, match="is failed: it can be compared only after it succeeded"):
            await tuning.verify(tuning.shipping.history.shipments()[0].key)


async def test_nothing_is_sent_that_could_be_forgotten(small_session: Session, training: Config) -> None:
    state = training.state_folder()
    state.parent.mkdir(exist_ok=True)
    state.write_text("in the way")
    async with opened(small_session, training) as (tuning, _):
        review = await tuning.shipping.review(ids(tuning, 0), "without")
        before = await listed(tuning.run)
        with pytest.raises(StoreError, match="in memory only"):
            await tuning.shipping.send(review)
        assert await listed(tuning.run) == before


async def test_two_memscopes_do_not_both_send_a_response(small_session: Session, training: Config) -> None:
    async with opened(small_session, training) as (one, _), opened(small_session, training) as (two, _):
        reviews = [await one.shipping.review(ids(one, 1), "without"), await two.shipping.review(ids(two, 1), "without")]
        before = len(await listed(one.run))
        results = await asyncio.gather(
            one.shipping.send(reviews[0]), two.shipping.send(reviews[1]), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, TrainingError)]
        assert len(refused) == 1
        assert "response 1 is" in str(refused[0])
        assert len(await listed(one.run)) == before + 1


async def test_a_server_without_job_states_leaves_the_shipment_accepted(
    small_session: Session, training: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, training) as (tuning, events):
        review = await tuning.shipping.review(ids(tuning, 1), "without")
        key, job = await tuning.shipping.send(review)

        async def unknown(path: str, **_: object) -> object:
            raise RefusedError(f"{path}: 404 Not Found", 404, "Not Found")

        monkeypatch.setattr(tuning.run.transport, "get", unknown)
        seen = await tuning.shipping.watch(key, job)
        assert not seen.ended
        assert any("does not report the progress of job" in e.text for e in events if isinstance(e, Notice))
        assert [s.state for s in tuning.shipping.history.shipments()] == ["accepted"]


def test_a_ledger_from_a_newer_version_is_refused_untouched(small_session: Session, config: Config) -> None:
    database = Database(config.state_folder())
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    database.close()
    path = Path(config.state or "") / "memscope.db"
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer memscope"):
        Database(config.state_folder())
    assert path.read_bytes() == before
