"""Finding out what answers, and trusting its numbers only after a check; with a real scorer, and with faulty ones."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from memscope.engines.client import connect
from memscope.engines.tokenizer_files import fetch_tokenizer
from memscope.engines.transport import Transport
from memscope.errors import ScorerError
from memscope.prompt.sequence import Variant
from memscope.scoring.rescoring import Cost, Rescorer
from memscope.secret import Secret
from memscope.store.database import Database
from memscope.store.scores import ScoreStore
from tests.conftest import ScorerAddress

pytestmark = pytest.mark.anyio

IDS = array("I", range(5, 205))
RANGES = [(10, 20), (100, 150)]


def transport_to(scorer: ScorerAddress) -> Transport:
    return Transport(scorer.url, Secret(scorer.token))


async def test_a_real_scorer_is_asked_in_its_own_dialect(scorer: ScorerAddress) -> None:
    client = await connect(transport_to(scorer))
    assert client.info.dialect == "score"
    assert client.info.max_tokens
    assert client.info.vocab_size
    first = await client.score(IDS, RANGES)
    assert [len(tokens) for tokens in first.tokens] == [10, 50]
    assert first.totals[1] == pytest.approx(sum(first.tokens[1]), abs=1e-3)
    again = await client.score(IDS, RANGES[1:])
    assert again.totals == pytest.approx(first.totals[1:], abs=1e-4)
    if client.info.reuses_prefixes:  # a machine may compute the model without
        assert again.totals == first.totals[1:], "what was cached changes nothing, to the last bit"
        assert again.forwarded < first.forwarded, "the prefix is not computed again"
    await client.close()


async def test_the_other_dialect_gives_the_same_numbers(scorer: ScorerAddress) -> None:
    one = await connect(transport_to(scorer), dialect="score")
    two = await connect(transport_to(scorer), dialect="prompt_logprobs")
    a, b = await one.score(IDS, RANGES), await two.score(IDS, RANGES)
    assert a.totals == pytest.approx(b.totals, abs=1e-4)
    assert b.forwarded == len(IDS)
    assert two.info.weights == one.info.weights
    await one.close()
    await two.close()


async def test_a_second_path_recomputes_with_different_rounding(scorer: ScorerAddress) -> None:
    client = await connect(transport_to(scorer))
    whole = await client.score(IDS, RANGES)
    again = await client.score(IDS, RANGES[1:], second_path=True)
    assert again.forwarded >= RANGES[1][1] - 1, "nothing remembered is used"
    assert again.totals[0] == pytest.approx(whole.totals[1], abs=1e-3)
    if client.info.reuses_prefixes:  # a machine may compute the model whole, and then has one path for short prompts
        assert again.totals[0] != whole.totals[1]
    await client.close()


async def test_the_scorer_provides_its_tokenizer(scorer: ScorerAddress, tmp_path: Any) -> None:
    transport = transport_to(scorer)
    folder = await fetch_tokenizer(transport, tmp_path)
    assert folder is not None
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["type"] == "BPE"
    assert await fetch_tokenizer(transport, tmp_path) == folder
    await transport.close()


async def test_a_wrong_key_is_refused_in_one_line(scorer: ScorerAddress) -> None:
    with pytest.raises(ScorerError, match=r"401 .*set the right API key"):
        await connect(Transport(scorer.url, Secret("wrong")))


def server(**answers: Any) -> Transport:
    """Return a transport to a server that knows some paths; a callable answer sees the request's body."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path.removeprefix("/v1/").replace("/", "_"))
        if found is None:
            return httpx.Response(404, json={"detail": "Not Found"})
        if isinstance(found, Callable):  # type: ignore[arg-type]
            found = found(json.loads(request.content))
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    return Transport("http://host", http=httpx.MockTransport(answer))


def models(*names: str, **more: Any) -> dict[str, Any]:
    return {"data": [{"id": name, "owned_by": "vllm", "max_model_len": 100, **more} for name in names]}


def completions(*, generated: float = -1.0, scored: float = -1.0) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answer as vLLM does; the generated token is 7 at `generated` nats, and every token scores `scored` nats."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        choice: dict[str, Any] = {"token_ids": [7], "logprobs": {"token_logprobs": [generated]}}
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [None, *({str(i): {"logprob": scored}} for i in body["prompt"][1:])]
        return {"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"])}}

    return answer


async def test_a_plain_vllm_is_asked_for_prompt_logprobs() -> None:
    client = await connect(server(models=models("m"), completions=completions()))
    assert (client.info.kind, client.info.dialect) == ("vllm", "prompt_logprobs")
    assert client.info.max_tokens == 99, "one token must be generated"
    assert client.info.weights.startswith("canary-")
    scored = await client.score(IDS[:20], [(5, 8)])
    assert scored.totals == (-3.0,)


async def test_numbers_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ScorerError, match=r"generated token 7 at -1\.000 nats but scores it at -2\.000"):
        await connect(server(models=models("m"), completions=completions(scored=-2.0)))


async def test_a_server_that_cannot_score_says_what_was_tried() -> None:
    chat_only = {"choices": [{"text": "hi"}]}
    with pytest.raises(ScorerError) as caught:
        await connect(server(models=models("m"), completions=chat_only))
    line = str(caught.value)
    assert "\n" not in line
    assert "/v1/score as score (/v1/score: 404 Not Found)" in line
    assert "/v1/completions as prompt_logprobs (the server ignored prompt_logprobs)" in line


async def test_several_models_ask_for_a_choice() -> None:
    with pytest.raises(ScorerError, match="serves a, b: choose one with --model"):
        await connect(server(models=models("a", "b"), completions=completions()))
    client = await connect(server(models=models("a", "b"), completions=completions()), "b")
    assert client.info.model == "b"


async def test_what_is_no_openai_server_is_said() -> None:
    with pytest.raises(ScorerError, match="the model list of an OpenAI-style server was expected"):
        await connect(server(models={"object": "list"}))


async def test_adapters_are_asked_one_at_a_time() -> None:
    listed = models("base")
    listed["data"].append({"id": "lora", "parent": "base", "max_model_len": None})
    client = await connect(server(models=listed, completions=completions()), "lora")
    assert client.info.max_tokens == 99, "a LoRA's limit is its parent's"
    for _ in range(50):
        await client.score(IDS[:20], [(5, 8)])
    assert client.concurrency == 1


async def test_a_refused_priority_is_dropped_for_good() -> None:
    seen: list[bool] = []
    plain = completions()

    def picky(body: dict[str, Any]) -> Any:
        seen.append("priority" in body)
        if "priority" in body:
            return httpx.Response(400, json={"error": {"message": "Priority scheduling is not enabled"}})
        return plain(body)

    client = await connect(server(models=models("m"), completions=picky))
    seen.clear()
    await client.score(IDS[:20], [(5, 8)])
    await client.score(IDS[:20], [(5, 8)])
    assert seen[0]
    assert not any(seen[1:])


@pytest.mark.parametrize("count", [0, -1])
async def test_an_invalid_limit_is_treated_as_unknown(count: int) -> None:
    listed = models("m", vocab_size=count)
    listed["data"][0]["max_model_len"] = count
    client = await connect(server(models=listed, completions=completions(generated=-1.0, scored=-1.0)))
    assert (client.info.vocab_size, client.info.max_tokens) == (None, None)


async def test_new_weights_give_a_new_fingerprint() -> None:
    value = -1.0

    def changing(body: dict[str, Any]) -> dict[str, Any]:
        return completions(generated=value, scored=value)(body)

    client = await connect(server(models=models("m"), completions=changing))
    before = client.info.weights
    assert (await client.refresh()).weights == before
    value = -1.3
    assert (await client.refresh()).weights != before


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden"])
async def test_a_tokenizer_with_strange_file_names_is_refused(name: str, tmp_path: Any) -> None:
    with pytest.raises(ScorerError, match="rejected the file name"):
        await fetch_tokenizer(server(tokenizer={"files": {name: "x"}}), tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_server_without_a_tokenizer_is_no_error(tmp_path: Any) -> None:
    assert await fetch_tokenizer(server(), tmp_path) is None


async def test_what_one_dialect_scored_is_not_taken_for_the_score_of_another(scorer: ScorerAddress) -> None:
    store = ScoreStore(Database(None))
    calls = []
    for dialect in ("score", "prompt_logprobs", "score"):
        client = await connect(transport_to(scorer), dialect=dialect)
        cost = Cost()
        await Rescorer(client, store).score([Variant(IDS, tuple(RANGES), (0, 1))], cost)
        calls.append(cost.calls)
        await client.close()
    assert calls == [1, 1, 0]
