"""Sending to training: the ledger tells the truth whatever the server answers, or does not."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from memscope.engines.transport import Transport
from memscope.errors import TrainingError
from memscope.store.database import Database
from memscope.store.ledger import Ledger, Sample
from memscope.training.samples import TrainingSample
from memscope.training.send import TrainingServer, reconcile, ship

pytestmark = pytest.mark.anyio

SAMPLES = [TrainingSample(3, array("I", [5, 6]), array("I", [7]))]
Answer = httpx.Response | BaseException


class Trainer:
    """A training server that answers a POST from a list, then accepts; it lists what it took."""

    def __init__(self, *answers: Answer, takes: bool = False, path: str = "/v1/train") -> None:
        self.answers = list(answers)
        self.takes = takes
        self.path = path
        self.jobs: dict[str, str] = {}
        self.posts = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != self.path:
            return httpx.Response(404, json={"detail": "Not Found"})
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
    job = await ship(ledger, server, key, SAMPLES, "tiny")
    assert job.id == "job-1"
    assert state(ledger) == ("accepted", "job-1")
    assert ledger.marks(["r3"]) == {"r3": "trained"}


async def test_the_shorter_path_is_found(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(path="/train"), tmp_path)
    await ship(ledger, server, key, SAMPLES, "tiny")
    assert state(ledger) == ("accepted", "job-1")


async def test_a_busy_server_is_asked_again_under_the_same_key(tmp_path: Path) -> None:
    trainer = Trainer(httpx.Response(429, headers={"Retry-After": "1"}), httpx.Response(503))
    ledger, server, key = parts(trainer, tmp_path)
    await ship(ledger, server, key, SAMPLES, "tiny")
    assert (trainer.posts, len(trainer.jobs)) == (3, 1)


REFUSALS: dict[str, tuple[Callable[[], list[Answer]], str]] = {
    "401": (lambda: [httpx.Response(401, json={"error": "Unauthorized"})], "401 Unauthorized"),
    "413": (lambda: [httpx.Response(413, json={"error": {"message": "too large"}})], "413 too large"),
    "422": (lambda: [httpx.Response(422, json={"detail": "no"})], "422 no"),
    "429": (lambda: [httpx.Response(429, json={"error": {"message": "later"}}) for _ in range(3)], "429 later"),
    "down": (lambda: [httpx.ConnectError("refused")], "nothing was sent"),
    "not json": (lambda: [httpx.Response(200, text="<html>")], "not JSON"),
    "no job": (lambda: [httpx.Response(200, json={"ok": True})], "names no job"),
    "error inside": (lambda: [httpx.Response(200, json={"error": {"message": "out of memory"}})], "out of memory"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_a_failure_with_its_text_and_marks_nothing(name: str, tmp_path: Path) -> None:
    make, words = REFUSALS[name]
    ledger, server, key = parts(Trainer(*make()), tmp_path)
    with pytest.raises(TrainingError, match=words):
        await ship(ledger, server, key, SAMPLES, "tiny")
    assert state(ledger) == ("failed", None)
    assert ledger.marks(["r3"]) == {}


async def test_a_server_that_cannot_train_says_who_can(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(path="/elsewhere"), tmp_path)
    with pytest.raises(TrainingError, match=r"cannot train.*memscope serve.*memscope export"):
        await ship(ledger, server, key, SAMPLES, "tiny")
    assert state(ledger) == ("failed", None)


LOST: dict[str, Callable[[], Answer]] = {
    "cut": lambda: httpx.ReadError("cut"),
    "silent": lambda: httpx.ReadTimeout("slow"),
    "500": lambda: httpx.Response(500, text="oops"),
    "504": lambda: httpx.Response(504),
}


@pytest.mark.parametrize("name", LOST)
async def test_a_lost_answer_is_resolved_by_the_servers_list(name: str, tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(LOST[name](), takes=True), tmp_path)
    job = await ship(ledger, server, key, SAMPLES, "tiny")
    assert job.id == "job-1"
    assert state(ledger) == ("accepted", "job-1")


@pytest.mark.parametrize("name", LOST)
async def test_a_lost_answer_that_the_server_does_not_know_stays_in_doubt(name: str, tmp_path: Path) -> None:
    trainer = Trainer(LOST[name]())
    ledger, server, key = parts(trainer, tmp_path)
    with pytest.raises(TrainingError, match="in doubt"):
        await ship(ledger, server, key, SAMPLES, "tiny")
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
    assert (await ship(ledger, server, key, SAMPLES, "tiny")).id == "job-1"
    assert state(ledger) == ("accepted", "job-1")


async def test_an_interruption_before_the_answer_leaves_a_doubt(tmp_path: Path) -> None:
    ledger, server, key = parts(Trainer(KeyboardInterrupt()), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        await ship(ledger, server, key, SAMPLES, "tiny")
    assert state(ledger) == ("in doubt", None)
