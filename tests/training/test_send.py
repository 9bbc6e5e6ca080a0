"""Sending to training: the ledger tells the truth whatever the server answers, or does not."""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from memscope.engines.transport import Transport
from memscope.errors import ScorerGoneError, StoreError, TrainingError
from memscope.store.database import Database
from memscope.store.ledger import Ledger, Sample
from memscope.training import send
from memscope.training.samples import TrainingSample, training_data
from memscope.training.send import TrainingJob, TrainingServer, reconcile, ship

pytestmark = pytest.mark.anyio

BODY = training_data([TrainingSample(3, array("I", [5, 6]), array("I", [7]))], "tiny")
Answer = httpx.Response | BaseException


class Trainer:
    """A training server that answers a POST from a list, then accepts; it lists what it took."""

    def __init__(self, *answers: Answer, takes: bool = False, path: str = "/v1/train") -> None:
        self.answers = list(answers)
        self.takes = takes
        self.path = path
        self.jobs: dict[str, str] = {}
        self.states: list[Answer] = []
        self.posts = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health":
            return httpx.Response(200)
        if not request.url.path.startswith(self.path):
            return httpx.Response(404, json={"detail": "Not Found"})
        if request.url.path != self.path:
            state = self.states.pop(0)
            if isinstance(state, BaseException):
                raise state
            return state
        if request.method == "GET":
            listed = [{"job_id": job, "idempotency_key": key, "status": "queued"} for key, job in self.jobs.items()]
            return httpx.Response(200, json={"jobs": listed})
        self.posts += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is None or self.takes:
            key = request.headers["Idempotency-Key"]
            self.jobs.setdefault(key, f"job-{len(self.jobs) + 1}")
        if isinstance(answer, BaseException):
            raise answer
        return answer or httpx.Response(200, json={"job_id": self.jobs[key], "status": "queued"})


async def no_sleep(_: float) -> None:
    return


def parts(trainer: Trainer, folder: Path) -> tuple[Ledger, TrainingServer, str]:
    ledger = Ledger(Database(folder))
    transport = Transport("http://host/v1", http=httpx.MockTransport(trainer), sleep=no_sleep)
    key = ledger.prepare("http://host/v1/train", "tiny", "s", "without", [Sample("r3", 3, 9.0)])
    return ledger, TrainingServer(transport), key


def state(ledger: Ledger) -> tuple[str, str | None]:
    (shipment,) = ledger.shipments()
    return shipment.state, shipment.job


async def test_what_is_accepted_is_marked_with_its_job(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(), tmp_path)
    job = await ship(ledger, server, key, BODY)
    assert job.id == "job-1"
    assert state(ledger) == ("accepted", "job-1")
    assert ledger.marks(["r3"]) == {"r3": "trained"}


async def test_the_shorter_path_is_found(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(path="/train"), tmp_path)
    await ship(ledger, server, key, BODY)
    assert state(ledger) == ("accepted", "job-1")


async def test_a_busy_server_is_asked_again_under_the_same_key(tmp_path: Path) -> None:
    trainer = Trainer(httpx.Response(429, headers={"Retry-After": "1"}), httpx.Response(503))
    ledger, server, key = parts(trainer, tmp_path)
    await ship(ledger, server, key, BODY)
    assert (trainer.posts, len(trainer.jobs)) == (3, 1)


REFUSALS: dict[str, tuple[Callable[[], list[Answer]], str]] = {
    "401": (lambda: [httpx.Response(401, json={"error": "Unauthorized"})], "401 Unauthorized"),
    "413": (lambda: [httpx.Response(413, json={"error": {"message": "too large"}})], "413 too large"),
    "422": (lambda: [httpx.Response(422, json={"detail": "no"})], "422 no"),
    "429": (lambda: [httpx.Response(429, json={"error": {"message": "later"}}) for _ in range(3)], "429 later"),
    "503": (lambda: [httpx.Response(503, json={"error": {"message": "full"}}) for _ in range(3)], "503 full"),
    "a redirect": (lambda: [httpx.Response(307, headers={"Location": "/"}, text="there")], "307 there"),
    "down": (lambda: [httpx.ConnectError("refused")], "nothing was sent"),
    "no proxy": (lambda: [httpx.ProxyError("407")], "nothing was sent"),
    "error inside": (lambda: [httpx.Response(200, json={"error": {"message": "out of memory"}})], "out of memory"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_a_failure_with_its_text_and_marks_nothing(name: str, tmp_path: Path) -> None:
    make, words = REFUSALS[name]
    ledger, server, key = parts(Trainer(*make()), tmp_path)
    with pytest.raises(TrainingError, match=words):
        await ship(ledger, server, key, BODY)
    assert state(ledger) == ("failed", None)
    assert ledger.marks(["r3"]) == {}


async def test_a_server_that_cannot_train_says_who_can(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(path="/elsewhere"), tmp_path)
    with pytest.raises(TrainingError, match=r"cannot train.*memscope serve.*memscope export"):
        await ship(ledger, server, key, BODY)
    assert state(ledger) == ("failed", None)


LOST: dict[str, Callable[[], Answer]] = {
    "cut": lambda: httpx.ReadError("cut"),
    "silent": lambda: httpx.ReadTimeout("slow"),
    "500": lambda: httpx.Response(500, text="oops"),
    "504": lambda: httpx.Response(504),
    "unreadable": lambda: httpx.DecodingError("bad gzip"),
    "engine died": lambda: httpx.Response(500, json={"error": {"message": "EngineCore encountered an issue."}}),
    "no JSON": lambda: httpx.Response(200, text="<html>"),
    "no UTF-8": lambda: httpx.Response(200, content=b'{"job_id": "\xff"}'),
    "no object": lambda: httpx.Response(200, json=["job-5"]),
    "no job": lambda: httpx.Response(200, json={"ok": True}),
    "only a location": lambda: httpx.Response(202, json={}, headers={"Location": "/v1/train/job-5"}),
    "an empty id": lambda: httpx.Response(200, json={"job_id": " "}),
    "an id that is no name": lambda: httpx.Response(200, json={"job_id": True, "id": 1.5}),
    "an error with a job": lambda: httpx.Response(200, json={"error": {"message": "slow"}, "job_id": "job-5"}),
    "two jobs": lambda: httpx.Response(200, json={"id": "req-1", "job": {"id": "job-5"}}),
}


@pytest.mark.parametrize("name", LOST)
async def test_a_lost_answer_is_resolved_by_the_servers_list(name: str, tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(LOST[name](), takes=True), tmp_path)
    job = await ship(ledger, server, key, BODY)
    assert job.id == "job-1"
    assert state(ledger) == ("accepted", "job-1")


@pytest.mark.parametrize("name", LOST)
async def test_a_lost_answer_that_the_server_does_not_know_stays_in_doubt(name: str, tmp_path: Path) -> None:
    trainer = Trainer(LOST[name]())
    ledger, server, key = parts(trainer, tmp_path)
    with pytest.raises(TrainingError, match="in doubt"):
        await ship(ledger, server, key, BODY)
    assert state(ledger) == ("in doubt", None)
    assert trainer.posts == 1, "nothing is sent twice by itself"
    (shipment,) = ledger.settle()
    assert await reconcile(ledger, server, shipment) is None
    trainer.jobs[key] = "job-9"
    found = await reconcile(ledger, server, shipment)
    assert found is not None
    assert state(ledger) == ("accepted", "job-9")


async def test_an_answer_that_cannot_be_read_but_was_taken_counts(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(httpx.Response(200, text="ok"), takes=True), tmp_path)
    assert (await ship(ledger, server, key, BODY)).id == "job-1"
    assert state(ledger) == ("accepted", "job-1")


async def test_an_interruption_before_the_answer_leaves_a_doubt(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(KeyboardInterrupt()), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        await ship(ledger, server, key, BODY)
    assert state(ledger) == ("in doubt", None)


@pytest.mark.parametrize(
    "answer",
    [
        {"job_id": "real"},
        {"job_id": None, "id": "real"},
        {"job_id": "", "id": "real"},
        {"job_id": "real", "id": "req-1", "error": None},
        {"jobId": "real"},
        {"job": {"id": "real", "status": "queued"}},
        {"data": {"job_id": "real", "id": "req-1"}},
    ],
)
async def test_a_job_is_found_under_the_names_that_servers_give_it(answer: dict[str, object], tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(httpx.Response(200, json=answer)), tmp_path)
    assert (await ship(ledger, server, key, BODY)).id == "real"
    assert state(ledger) == ("accepted", "real")


async def test_a_number_may_name_a_job(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(httpx.Response(200, json={"job_id": 0})), tmp_path)
    await ship(ledger, server, key, BODY)
    assert state(ledger) == ("accepted", "0")


async def test_a_listed_job_without_an_id_leaves_the_doubt(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={})
        listed = [{"idempotency_key": key, "status": "queued"}]
        return httpx.Response(200, json={"jobs": listed})

    ledger, _, key = parts(Trainer(), tmp_path)
    server = TrainingServer(Transport("http://host/v1", http=httpx.MockTransport(answer), sleep=no_sleep))
    with pytest.raises(TrainingError, match="in doubt"):
        await ship(ledger, server, key, BODY)
    assert state(ledger) == ("in doubt", None)


async def test_cancelled_before_the_request_leaves_nothing_is_marked(tmp_path: Path) -> None:
    trainer = Trainer()
    ledger, server, key = parts(trainer, tmp_path)
    holder = sqlite3.connect(tmp_path / "memscope.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    sending = asyncio.create_task(ship(ledger, server, key, BODY))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.sleep(0)
    holder.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await sending
    holder.close()
    assert (ledger.shipments(), trainer.posts) == ((), 0)


async def test_cancelled_while_the_server_is_asked_about_an_error_it_is_in_doubt(tmp_path: Path) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"error": "no"})
        asked.set()
        await never.wait()
        raise AssertionError("unreachable")

    ledger, _, key = parts(Trainer(), tmp_path)
    server = TrainingServer(Transport("http://host/v1", http=httpx.MockTransport(answer), sleep=no_sleep))
    sending = asyncio.create_task(ship(ledger, server, key, BODY))
    await asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert state(ledger) == ("in doubt", None)


async def test_the_loop_goes_on_while_the_ledger_waits_for_another_process(tmp_path: Path) -> None:
    trainer = Trainer()
    ledger, server, key = parts(trainer, tmp_path)
    holder = sqlite3.connect(tmp_path / "memscope.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    sending = asyncio.create_task(ship(ledger, server, key, BODY))
    for _ in range(200):
        await asyncio.sleep(0)
    assert (sending.done(), trainer.posts) == (False, 0)
    holder.execute("ROLLBACK")
    holder.close()
    assert (await sending).id == "job-1"


def full_disk(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, mark: str) -> None:
    def full(*_: object) -> None:
        raise StoreError("state database: database or disk is full")

    monkeypatch.setattr(ledger, mark, full)


async def test_nothing_is_sent_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer()
    ledger, server, key = parts(trainer, tmp_path)
    full_disk(monkeypatch, ledger, "mark_sent")
    with pytest.raises(StoreError, match="disk is full: nothing was sent"):
        await ship(ledger, server, key, BODY)
    assert trainer.posts == 0


async def test_a_full_disk_after_acceptance_is_reported_with_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, server, key = parts(Trainer(), tmp_path)
    full_disk(monkeypatch, ledger, "mark_accepted")
    with pytest.raises(StoreError, match=r"accepted it as job job-1, .*disk is full; it is in doubt"):
        await ship(ledger, server, key, BODY)
    assert ledger.marks(["r3"]) == {"r3": "sending"}


@pytest.mark.parametrize(("answer", "mark"), [("422", "mark_failed"), ("cut", "mark_in_doubt")])
async def test_a_full_disk_hides_neither_refusal_nor_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, mark: str
) -> None:
    answers: dict[str, Answer] = {
        "422": httpx.Response(422, json={"detail": "bad ids"}),
        "cut": httpx.ReadError("bad line"),
    }
    ledger, server, key = parts(Trainer(answers[answer]), tmp_path)
    full_disk(monkeypatch, ledger, mark)
    with pytest.raises(StoreError, match=r"bad (ids|line).*could not be recorded"):
        await ship(ledger, server, key, BODY)


def progress(step: int, status: str = "running") -> httpx.Response:
    return httpx.Response(200, json={"job_id": "j/1", "status": status, "step": step, "steps": 3, "loss": 1.0 / step})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "_POLL_SECONDS", (0.0, 0.0))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", ["/v1/train", "/train"])
async def test_a_job_is_reported_at_every_change(tmp_path: Path, path: str) -> None:
    trainer = Trainer(path=path)
    trainer.states = [progress(1), progress(1), httpx.ReadTimeout("slow"), progress(3, "completed")]
    _, server, _ = parts(trainer, tmp_path)
    seen = [job async for job in server.progress(TrainingJob("j/1", "queued"))]
    assert [(job.status, job.step, job.loss) for job in seen] == [
        ("queued", 0, None),
        ("running", 1, 1.0),
        ("succeeded", 3, 1 / 3),
    ]


@pytest.mark.usefixtures("impatient")
async def test_a_loss_that_no_number_can_hold_is_no_loss(tmp_path: Path) -> None:
    trainer = Trainer()
    body = b'{"job_id":"j/1","status":"succeeded","loss":%s}' % (b"9" * 400)
    trainer.states = [httpx.Response(200, content=body)]
    _, server, _ = parts(trainer, tmp_path)
    seen = [job async for job in server.progress(TrainingJob("j/1", "queued"))]
    assert seen[-1] == TrainingJob("j/1", "succeeded")


@pytest.mark.usefixtures("impatient")
async def test_a_failed_job_says_why(tmp_path: Path) -> None:
    trainer = Trainer()
    trainer.states = [httpx.Response(200, json={"status": "failed", "error": {"message": "the loss became nan"}})]
    ledger, server, key = parts(trainer, tmp_path)
    job = await ship(ledger, server, key, BODY)
    (shipment,) = ledger.shipments()
    ended = await reconcile(ledger, server, shipment)
    assert ended == TrainingJob(job.id, "failed", error="the loss became nan")
    (shipment,) = ledger.shipments()
    assert (shipment.state, shipment.error) == ("failed", "the loss became nan")
    assert ledger.marks(["r3"]) == {}


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_goes_away_leaves_the_job_accepted(tmp_path: Path) -> None:
    trainer = Trainer()
    trainer.states = [httpx.ReadError("cut") for _ in range(3)]
    ledger, server, key = parts(trainer, tmp_path)
    job = await ship(ledger, server, key, BODY)
    with pytest.raises(ScorerGoneError):
        _ = [seen async for seen in server.progress(job)]
    assert state(ledger) == ("accepted", "job-1")
