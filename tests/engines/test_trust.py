"""Servers that give wrong numbers: at the start, later, or in a few places only. None of their numbers is used."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

from memscope.config import Config
from memscope.engines.client import connect
from memscope.engines.transport import Transport
from memscope.errors import ScorerError, UntrustedScorerError
from memscope.run.run import Run
from memscope.secret import Secret
from memscope.session.nodes import Session
from memscope.store.database import Database
from tests.conftest import ScorerAddress
from tests.engines.faulty import Asked, between

pytestmark = pytest.mark.anyio

IDS = array("I", ((11 * n * n) % 300 + 5 for n in range(300)))
RANGES = [(10, 20), (100, 150)]


def honest(_: Asked, reply: Any) -> Any:
    return reply


def as_vllm(asked: Asked, reply: Any) -> Any:
    """Answer as a server without a score endpoint and without a fingerprint of its weights."""
    if asked.path == "/v1/score":
        return 404
    if asked.path == "/v1/models":
        reply["data"][0] |= {"weights": "", "owned_by": "vllm"}
    reply.pop("weights", None)
    return reply


def is_check(asked: Asked) -> bool:
    return asked.path == "/v1/completions" and "prompt_logprobs" not in asked.json


def shift_scores(reply: Any, *, spare: int) -> Any:
    """Move every token value of `/v1/score` by one place, except the last `spare` of each range."""
    for score in reply["scores"]:
        values = score["token_logprobs"]
        moved = [values[-1], *values[:-1]]
        score["token_logprobs"] = moved[: len(moved) - spare] + values[len(values) - spare :]
        score["total_logprob"] = sum(score["token_logprobs"])
    return reply


def shift_prompt(asked: Asked, reply: Any, *, spare: int) -> Any:
    """Give every token of a prompt the value of the one before, except the last `spare`."""
    entries = reply["choices"][0]["prompt_logprobs"]
    values = [entry[str(token)]["logprob"] for token, entry in zip(asked.json["prompt"][1:], entries[1:], strict=True)]
    for n in range(1, len(values) - spare):
        entries[n + 1][str(asked.json["prompt"][n + 1])]["logprob"] = values[n - 1]
    return reply


@pytest.mark.parametrize("dialect", ["score", "prompt_logprobs"])
async def test_a_server_that_tells_the_truth_ends_verified(scorer: ScorerAddress, dialect: str) -> None:
    client = await connect(Transport(scorer.url, Secret(scorer.token)), dialect=dialect)
    assert client.info.verified
    assert not any("could not be checked" in note for note in client.info.notes)
    await client.close()


@pytest.mark.parametrize("spare", [0, 1, 2])
async def test_values_that_are_shifted_but_in_the_last_places_are_refused(scorer: ScorerAddress, spare: int) -> None:
    def lie(asked: Asked, reply: Any) -> Any:
        reply = as_vllm(asked, reply)
        prompt = asked.path == "/v1/completions" and not is_check(asked)
        return shift_prompt(asked, reply, spare=spare) if prompt else reply

    async with between(scorer, lie) as url:
        with pytest.raises(UntrustedScorerError, match=r"generated token \d+ at .* nats but scores it at"):
            await connect(Transport(url))


async def test_a_score_endpoint_that_shifts_all_but_one_value_is_refused(scorer: ScorerAddress) -> None:
    def lie(asked: Asked, reply: Any) -> Any:
        return shift_scores(reply, spare=1) if asked.path == "/v1/score" else reply

    async with between(scorer, lie) as url:
        with pytest.raises(UntrustedScorerError, match="cannot be trusted"):
            await connect(Transport(url))


async def test_a_score_endpoint_that_is_right_for_single_tokens_only_is_refused(scorer: ScorerAddress) -> None:
    def lie(asked: Asked, reply: Any) -> Any:
        if asked.path == "/v1/score":
            for score in reply["scores"]:
                score["total_logprob"] -= score["token_logprobs"][0] * (len(score["token_logprobs"]) > 1)
                del score["token_logprobs"]
        return reply

    async with between(scorer, lie) as url:
        with pytest.raises(UntrustedScorerError, match="cannot be trusted"):
            await connect(Transport(url))


def without(name: str) -> Callable[[Asked, Any], Any]:
    def lie(asked: Asked, reply: Any) -> Any:
        reply = as_vllm(asked, reply)
        if is_check(asked):
            reply["choices"][0][name] = None
        return reply

    return lie


def only_scores(asked: Asked, reply: Any) -> Any:
    return 404 if asked.path == "/v1/completions" else reply


UNVERIFIABLE = {
    "no token ids": (without("token_ids"), "reports no ids for generated tokens"),
    "no log-probabilities": (without("logprobs"), "reports no log-probabilities for generated tokens"),
    "no generation": (only_scores, "does not generate: 404"),
}


@pytest.mark.parametrize("name", UNVERIFIABLE)
async def test_what_could_not_be_checked_is_noted(scorer: ScorerAddress, name: str) -> None:
    lie, words = UNVERIFIABLE[name]
    async with between(scorer, lie) as url:
        client = await connect(Transport(url))
        assert not client.info.verified
        assert [note for note in client.info.notes if words in note]
        assert (await client.refresh()).verified is False
        await client.close()


@pytest.mark.parametrize("name", ["verified", "unverifiable", "vllm"])
async def test_a_server_that_starts_lying_returns_no_wrong_number(scorer: ScorerAddress, name: str) -> None:
    calls = 0
    plain = {"verified": honest, "unverifiable": only_scores, "vllm": as_vllm}[name]

    def lie(asked: Asked, reply: Any) -> Any:
        nonlocal calls
        reply = plain(asked, reply)
        if isinstance(reply, int) or asked.method == "GET" or is_check(asked):
            return reply
        calls += 1
        if calls <= 20:
            return reply
        return shift_scores(reply, spare=0) if "scores" in reply else shift_prompt(asked, reply, spare=0)

    true = await connect(Transport(scorer.url, Secret(scorer.token)))
    async with between(scorer, lie) as url:
        client = await connect(Transport(url))
        with pytest.raises(UntrustedScorerError, match=r"numbers|inconsistent"):
            for end in range(30, 60):
                scored = await client.score(IDS[:end], [(5, end)])
                assert scored.totals == pytest.approx((await true.score(IDS[:end], [(5, end)])).totals, abs=1e-3)
        with pytest.raises(UntrustedScorerError):
            await client.score(IDS, RANGES)
        await client.close()
    await true.close()


async def test_answers_from_memory_are_found_by_asking_something_new(
    scorer: ScorerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken server with a cache in front gives the numbers of the beginning again, but only for the same ids."""
    monkeypatch.setattr("memscope.engines.trust._REPEAT_TOKENS", 500)
    known: dict[bytes, Any] = {}
    scored = 0

    def lie(asked: Asked, reply: Any) -> Any:
        nonlocal scored
        if asked.path != "/v1/score":
            return reply
        scored += 1
        return known.setdefault(asked.body, reply if scored < 12 else shift_scores(reply, spare=0))

    async with between(scorer, lie) as url:
        client = await connect(Transport(url))
        with pytest.raises(UntrustedScorerError, match="generated token"):
            for end in range(50, 300):
                await client.score(IDS[:end], [(5, end)])
        await client.close()


async def test_numbers_of_other_weights_are_not_taken_for_a_lie(scorer: ScorerAddress, trainer: ScorerAddress) -> None:
    """A server that says nothing of its weights gets others: the scores say so, and it can be asked on."""
    from memscope.training.samples import TrainingSample, training_data
    from memscope.training.send import TrainingServer

    async with between(trainer, as_vllm) as url:
        client = await connect(Transport(url))
        direct = Transport(trainer.url, Secret(trainer.token))
        sample = TrainingSample(0, IDS[:20], IDS[20:40])
        server = TrainingServer(direct)
        submitted = await server.submit(training_data([sample], "tiny"), "other-weights")
        states = [job.status async for job in server.progress(submitted)]
        assert states[-1] == "succeeded"
        before = client.info.weights
        assert (await client.score(IDS, RANGES)).weights not in ("", before)
        assert (await client.refresh()).weights != before
        assert client.info.verified
        assert (await client.score(IDS, RANGES)).weights == ""
        await client.close()
        await direct.close()


async def test_a_lie_in_the_middle_of_a_matrix_leaves_only_correct_scores(
    small_session: Session, scorer: ScorerAddress, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from msgspec.structs import replace

    lying_after = 36
    calls = 0

    def lie(asked: Asked, reply: Any) -> Any:
        nonlocal calls
        calls += asked.path == "/v1/score"
        return shift_scores(reply, spare=0) if asked.path == "/v1/score" and calls > lying_after else reply

    database = Database(None)
    async with between(scorer, lie) as url:
        there = replace(config, url=url)
        run = Run(small_session, there, database)
        await run.open()
        calls = lying_after - 4
        with pytest.raises(UntrustedScorerError):
            await run.matrix()
        await run.close()
        calls = -10_000
        again = Run(small_session, there, database)
        await again.matrix()
        remembered = again.report("necessity")
        await again.close()
    fresh = Run(small_session, config, Database(None))
    await fresh.matrix()
    wanted = fresh.report("necessity")
    await fresh.close()
    assert 0 < remembered["cost"]["calls"] < wanted["cost"]["calls"], "some scores were kept"
    for row, true in zip(remembered["divergence"], wanted["divergence"], strict=True):
        assert row == pytest.approx(true, abs=1e-3)


async def test_a_missing_value_is_never_a_score(scorer: ScorerAddress) -> None:
    def lie(asked: Asked, reply: Any) -> Any:
        reply = as_vllm(asked, reply)
        if asked.path == "/v1/completions" and not is_check(asked) and len(asked.json["prompt"]) > 200:
            reply["choices"][0]["prompt_logprobs"][105][str(asked.json["prompt"][105])]["logprob"] = -9999.0
        return reply

    async with between(scorer, lie) as url:
        client = await connect(Transport(url))
        with pytest.raises(ScorerError, match=r"no log-probability for token 105 \(it returned -9999\)"):
            await client.score(IDS, RANGES)
        await client.close()


async def test_checking_costs_a_fraction_of_a_percent(scorer: ScorerAddress) -> None:
    long = array("I", (n % 300 + 5 for n in range(2400)))
    tokens: list[int] = []

    def count(asked: Asked, reply: Any) -> Any:
        if asked.path == "/v1/score":
            tokens.append(len(asked.json["prompt"]))
        return reply

    async with between(scorer, count) as url:
        client = await connect(Transport(url))
        tokens.clear()
        for start in range(100, 103):
            await client.score(long, [(start, 2400)])
        await client.close()
    assert sum(n for n in tokens if n != 2400) <= 0.005 * sum(tokens)
