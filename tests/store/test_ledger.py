"""The training ledger tells the truth whatever happened to the process that wrote it."""

import subprocess
import sys
from pathlib import Path

import pytest

from memscope.errors import TrainingError
from memscope.session.identity import response_id
from memscope.session.nodes import Branch
from memscope.session.text import RecordedResponse
from memscope.store.database import Database
from memscope.store.decisions import Decisions
from memscope.store.ledger import Ledger, Sample

ONE = (Sample("r1", 3, 12.5),)
TWO = (Sample("r1", 3, 12.5), Sample("r2", 5, None))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Database(tmp_path))


def prepare(ledger: Ledger, samples: tuple[Sample, ...] = ONE, *, again: bool = False) -> str:
    return ledger.prepare("http://host", "tiny", "s", "without", samples, again=again)


def test_a_response_counts_as_trained_only_from_acceptance_on(ledger: Ledger) -> None:
    key = prepare(ledger)
    assert ledger.marks(["r1", "r2"]) == {"r1": "sending"}
    ledger.mark_sent(key)
    assert ledger.marks(["r1"]) == {"r1": "sending"}
    ledger.mark_accepted(key, "job-1")
    assert ledger.marks(["r1"]) == {"r1": "trained"}
    ledger.mark_succeeded(key)
    (shipment,) = ledger.shipments("s")
    assert (shipment.state, shipment.job, shipment.samples) == ("succeeded", "job-1", ONE)


def test_a_refused_shipment_frees_its_responses(ledger: Ledger) -> None:
    key = prepare(ledger)
    ledger.mark_sent(key)
    ledger.mark_failed(key, "401 Unauthorized")
    assert ledger.marks(["r1"]) == {}
    prepare(ledger)


@pytest.mark.parametrize("state", ["sending", "trained", "in doubt"])
def test_a_marked_response_is_not_sent_again_by_itself(ledger: Ledger, state: str) -> None:
    key = prepare(ledger)
    if state != "sending":
        ledger.mark_sent(key)
    if state == "trained":
        ledger.mark_accepted(key, "job")
    if state == "in doubt":
        ledger.mark_in_doubt(key, "connection lost")
    with pytest.raises(TrainingError, match="response 3 is"):
        prepare(ledger, TWO)
    assert ledger.marks(["r2"]) == {}, "nothing of a refused shipment is written"
    prepare(ledger, TWO, again=True)


def test_a_state_cannot_be_skipped(ledger: Ledger) -> None:
    key = prepare(ledger)
    with pytest.raises(TrainingError, match="is prepared and cannot become accepted"):
        ledger.mark_accepted(key, "job")
    with pytest.raises(TrainingError, match="unknown"):
        ledger.mark_sent("no such key")


def test_doubt_is_resolved_by_the_servers_job(ledger: Ledger) -> None:
    key = prepare(ledger)
    ledger.mark_sent(key)
    ledger.mark_in_doubt(key, "connection lost")
    ledger.mark_accepted(key, "job-7")
    assert ledger.marks(["r1"]) == {"r1": "trained"}
    assert ledger.settle() == ()


def test_a_discarded_shipment_leaves_nothing(ledger: Ledger) -> None:
    ledger.discard(prepare(ledger))
    assert ledger.shipments() == ()
    assert ledger.marks(["r1"]) == {}


def test_a_proof_is_kept_with_its_shipment(ledger: Ledger) -> None:
    key = prepare(ledger)
    ledger.save_proof(key, {"before": [12.5], "after": [0.3]})
    assert ledger.shipments()[0].proof == {"before": [12.5], "after": [0.3]}


@pytest.mark.parametrize(("state", "left"), [("prepared", None), ("sent", "in doubt"), ("accepted", "accepted")])
def test_shipments_of_a_dead_process_are_settled(tmp_path: Path, state: str, left: str | None) -> None:
    steps = {"prepared": "", "sent": "l.mark_sent(k)", "accepted": "l.mark_sent(k); l.mark_accepted(k, 'job')"}[state]
    program = (
        "import sys; from pathlib import Path; from memscope.store.database import Database\n"
        "from memscope.store.ledger import Ledger, Sample; l = Ledger(Database(Path(sys.argv[1])))\n"
        f"k = l.prepare('http://host', 'tiny', 's', 'without', [Sample('r1', 3, 1.0)]); {steps}\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    ledger = Ledger(Database(tmp_path))
    doubtful = ledger.settle()
    assert [s.state for s in ledger.shipments()] == ([left] if left else [])
    assert [s.state for s in doubtful] == (["in doubt"] if left == "in doubt" else [])


def test_settling_ignores_running_processes(tmp_path: Path) -> None:
    ledger = Ledger(Database(tmp_path))
    ledger.mark_sent(prepare(ledger))
    Ledger(Database(tmp_path)).settle()
    assert ledger.shipments()[0].state == "sent"


def test_decisions_persist_and_can_be_cleared(tmp_path: Path) -> None:
    turn = Branch(role="assistant", timestamp="t")
    one, two = (response_id("s", RecordedResponse(3, turn, text)) for text in ("text", "other"))
    assert one != two
    Decisions(Database(tmp_path)).decide([one, two], "approved")
    decisions = Decisions(Database(tmp_path))
    decisions.decide([two], "rejected")
    assert decisions.decisions([one, two, "x"]) == {one: "approved", two: "rejected"}
    decisions.decide([one], None)
    assert decisions.decisions([one]) == {}


@pytest.mark.parametrize("state", ["sent", "accepted", "succeeded"])
def test_what_an_embedded_scorer_had_not_finished_is_free_again(tmp_path: Path, state: str) -> None:
    steps = ["l.mark_sent(k)", "l.mark_accepted(k, 'job')", "l.mark_succeeded(k)"][
        : ["sent", "accepted", "succeeded"].index(state) + 1
    ]
    program = (
        "import sys; from pathlib import Path; from memscope.store.database import Database\n"
        "from memscope.store.ledger import EMBEDDED, Ledger, Sample; l = Ledger(Database(Path(sys.argv[1])))\n"
        f"k = l.prepare(EMBEDDED + 'http://host', 'tiny', 's', 'without', [Sample('r1', 3, 1.0)]); {'; '.join(steps)}\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    ledger = Ledger(Database(tmp_path))
    assert ledger.settle() == ()
    assert ledger.marks(["r1"]) == ({"r1": "trained"} if state == "succeeded" else {})


def test_two_watchers_may_write_the_same_end(ledger: Ledger) -> None:
    key = prepare(ledger)
    ledger.mark_sent(key)
    for _ in range(2):
        ledger.mark_accepted(key, "job-1")
    for _ in range(2):
        ledger.mark_succeeded(key)
    with pytest.raises(TrainingError, match="is succeeded and cannot become failed"):
        ledger.mark_failed(key, "no")
