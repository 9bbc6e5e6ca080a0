"""Killing sends at random moments, and comparing the ledger with the server's own list of jobs afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from memscope.engines.transport import Transport
from memscope.secret import Secret
from memscope.store.database import Database
from memscope.store.ledger import Ledger
from memscope.training.send import TrainingServer, reconcile
from tests.conftest import ScorerAddress

__all__ = ["judge", "kill_sends"]

_LONGEST_SECONDS = 0.1
_SENDER = Path(__file__).with_name("sender.py")
_ROOT = Path(__file__).parents[2]


def kill_sends(kills: int, folder: Path, scorer: ScorerAddress, seed: int) -> Counter[str]:
    """SIGKILL that many senders, each at a random moment; return in which states their last shipments were.

    The scorer's token must be in the variable MEMSCOPE_API_KEY.
    """
    chance = Random(seed)
    states: Counter[str] = Counter()
    ledger = Ledger(Database(folder))
    for number in range(kills):
        command = [sys.executable, str(_SENDER), str(folder), scorer.url, f"r{number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT) as sender:
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"ready\n"
            try:
                status = sender.wait(chance.uniform(0, _LONGEST_SECONDS))
                raise AssertionError(f"the sender ended by itself with status {status}")
            except subprocess.TimeoutExpired:
                sender.kill()
        mine = [s for s in ledger.shipments() if s.samples[0].response.startswith(f"r{number}-")]
        states[mine[-1].state if mine else "nothing prepared"] += 1
    return states


async def judge(folder: Path, scorer: ScorerAddress) -> Counter[str]:
    """Settle the ledger, compare it with the server's list, and return the states of all shipments.

    Raises:
        AssertionError: A mark and the list of jobs disagree.
    """
    ledger = Ledger(Database(folder))
    transport = Transport(scorer.url, Secret(scorer.token))
    try:
        doubtful = ledger.settle()
        _compare(ledger, await transport.get("/v1/train"))
        for shipment in doubtful:
            await reconcile(ledger, TrainingServer(transport), shipment)
        jobs = await transport.get("/v1/train")
    finally:
        await transport.close()
    _compare(ledger, jobs)
    shipments = ledger.shipments()
    listed = {job["idempotency_key"] for job in jobs["jobs"]}
    marks = ledger.marks([s.samples[0].response for s in shipments])
    for shipment in shipments:
        mark = marks[shipment.samples[0].response]
        assert mark == ("trained" if shipment.key in listed else "in doubt"), shipment
    return Counter(shipment.state for shipment in shipments)


def _compare(ledger: Ledger, answer: dict[str, Any]) -> None:
    listed = {job["idempotency_key"]: job["job_id"] for job in answer["jobs"]}
    assert len(listed) == len(answer["jobs"]), "no key became two jobs"
    shipments = {shipment.key: shipment for shipment in ledger.shipments()}
    assert set(listed) <= set(shipments), "the server took nothing that the ledger forgot"
    for key, shipment in shipments.items():
        assert shipment.state in ("accepted", "succeeded", "in doubt"), shipment
        assert shipment.state == "in doubt" or listed[key] == shipment.job, shipment
