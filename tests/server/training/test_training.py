"""Training over HTTP: jobs that are whole or not at all, and a model that has learned what it was told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from memscope.demo.build.generator import Shape, make_session
from memscope.demo.build.tokens import encode_sessions
from memscope.server.api.app import create_app
from memscope.server.options import ServeOptions, TrainOptions
from memscope.server.runtime import Runtime
from memscope.server.training import train
from tests.server.conftest import BUNDLED

pytestmark = pytest.mark.anyio

FEW = {"steps": 6}


def samples(count: int = 1) -> list[dict[str, list[int]]]:
    """Return samples whose answers rest on memories that are left out."""
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    blocks = make_session(Random("lessons"), Shape(4, 6, surfaced=0.0, rich=False))
    (session,) = encode_sessions(tokenizer, [[block for block in blocks if block.role != "memory"]])
    return [
        {"context_ids": session.ids[:start], "continuation_ids": session.ids[start:end]}
        for _, start, end in session.answers[:count]
    ]


def served(tmp_path: Path, **options: Any) -> tuple[Runtime, httpx.AsyncClient]:
    runtime = Runtime(ServeOptions(model=str(BUNDLED), **options))
    runtime.load()
    transport = httpx.ASGITransport(create_app(runtime), raise_app_exceptions=False)
    return runtime, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def ended(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    while (state := (await client.get(f"/v1/train/{job}")).json())["status"] in ("queued", "running"):
        await asyncio.sleep(0.05)
    found: dict[str, Any] = state
    return found


async def total(client: httpx.AsyncClient, sample: dict[str, list[int]]) -> tuple[float, str]:
    ids = sample["context_ids"] + sample["continuation_ids"]
    ranges = [[len(sample["context_ids"]), len(ids)]]
    reply = (await client.post("/v1/score", json={"prompt": ids, "score_ranges": ranges})).json()
    return reply["scores"][0]["total_logprob"], reply["weights"]


@pytest.mark.parametrize("method", ["full", "lora"])
async def test_a_job_teaches_and_changes_the_fingerprint(tmp_path: Path, method: str) -> None:
    runtime, client = served(tmp_path, save_to=tmp_path / "trained")
    (sample,) = samples()
    before, old = await total(client, sample)
    body = {"training_data": {"samples": [sample]}, "options": {"steps": 12, "method": method}}
    accepted = (await client.post("/v1/train", json=body)).json()
    job = await ended(client, accepted["job_id"])
    assert job["status"] == "succeeded", job["error"]
    assert job["step"] == job["steps"] == len(job["losses"]) == 12
    assert job["losses"][-1] < job["losses"][0]
    after, new = await total(client, sample)
    assert after > before + 5
    assert new == job["result"]["weights"] != old
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    assert saved.config.model_type == "qwen3"
    assert AutoTokenizer.from_pretrained(tmp_path / "trained").encode("port")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trained"], "nothing half written is left"
    runtime.stop(5)


async def test_a_key_identifies_one_request(tmp_path: Path) -> None:
    runtime, client = served(tmp_path)
    body = {"training_data": {"samples": samples()}, "options": FEW}
    first = await client.post("/train", json=body, headers={"Idempotency-Key": "k"})
    again = await client.post("/v1/train", json=body, headers={"Idempotency-Key": "k"})
    assert first.json()["job_id"] == again.json()["job_id"]
    other = {**body, "options": {"steps": 7}}
    clash = await client.post("/v1/train", json=other, headers={"Idempotency-Key": "k"})
    assert clash.status_code == 409
    assert "Idempotency-Key" in clash.json()["error"]["message"]
    listed = (await client.get("/v1/train")).json()["jobs"]
    assert [(job["job_id"], job["idempotency_key"]) for job in listed] == [(first.json()["job_id"], "k")]
    await ended(client, first.json()["job_id"])
    runtime.stop(5)


async def test_jobs_wait_for_each_other_and_scoring_goes_on_with_whole_weights(tmp_path: Path) -> None:
    runtime, client = served(tmp_path)
    sample = samples()[0]
    _, old = await total(client, sample)
    body = {"training_data": {"samples": samples(2)}, "options": FEW}
    jobs = [(await client.post("/v1/train", json=body)).json()["job_id"] for _ in range(2)]
    seen = [await total(client, sample)]
    states = [await ended(client, job) for job in jobs]
    seen.append(await total(client, sample))
    known = {old: None, **{state["result"]["weights"]: None for state in states}}
    assert [state["status"] for state in states] == ["succeeded"] * 2
    assert len(known) == 3
    assert all(weights in known for _, weights in seen)
    runtime.stop(5)


async def test_a_failed_job_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> float:
        return float("nan")

    monkeypatch.setattr(train, "_step", broken)
    runtime, client = served(tmp_path, save_to=tmp_path / "trained")
    sample = samples()[0]
    before = await total(client, sample)
    accepted = (await client.post("/v1/train", json={"training_data": {"samples": [sample]}})).json()
    job = await ended(client, accepted["job_id"])
    assert job["status"] == "failed"
    assert "the loss became nan" in job["error"]["message"]
    assert await total(client, sample) == before
    assert not list(tmp_path.iterdir())
    runtime.stop(5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training_data": {"samples": []}}, "no samples"),
        (
            {"training_data": {"samples": [{"context_ids": [5], "continuation_ids": []}]}},
            r"samples\[0\]: the continuation",
        ),
        ({"training_data": {"samples": [{"context_ids": [], "continuation_ids": [5]}]}}, r"samples\[0\]: the context"),
        (
            {"training_data": {"samples": [{"context_ids": [5] * 8192, "continuation_ids": [5]}]}},
            r"samples\[0\]: 8193 tokens",
        ),
        ({"training_data": {"samples": [{"context_ids": [5], "continuation_ids": [9999]}]}}, "outside the vocabulary"),
        ({"options": {"steps": 0}}, "options.steps"),
        ({"options": {"rate": 1}}, "options"),
        ({"training_data": None}, "training_data"),
    ],
)
async def test_what_cannot_be_learned_is_refused_by_name(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    runtime, client = served(tmp_path)
    body = {"training_data": {"samples": samples()}, **change}
    reply = await client.post("/v1/train", json=body)
    assert reply.status_code == 400
    assert re.search(words, reply.json()["error"]["message"])
    assert (await client.get("/v1/train")).json() == {"jobs": []}
    runtime.stop(5)


async def test_a_server_without_training_has_no_training_path(tmp_path: Path) -> None:
    runtime, client = served(tmp_path, training=False)
    assert (await client.post("/v1/train", json={})).status_code == 404
    assert (await client.get("/v1/train/job-1")).status_code == 404
    runtime.stop(5)


async def test_missing_training_options_come_from_the_server(tmp_path: Path) -> None:
    runtime, client = served(tmp_path, train_options=TrainOptions(steps=2, learning_rate=1e-5))
    body: dict[str, Any] = {"training_data": {"samples": samples(1)}}
    job = await ended(client, (await client.post("/v1/train", json=body)).json()["job_id"])
    assert job["steps"] == 2
    body = {**body, "options": {"steps": 3}}
    job = await ended(client, (await client.post("/v1/train", json=body)).json()["job_id"])
    assert job["steps"] == 3
    runtime.stop(5)
