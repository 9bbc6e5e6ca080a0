"""The protocol: what each endpoint answers, and how every mistake is said."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import torch

from memscope.server.api.app import create_app
from memscope.server.compute.loading import LoadedModel, with_weights
from memscope.server.options import ServeOptions
from memscope.server.runtime import Runtime

pytestmark = pytest.mark.anyio


def _served(runtime: Runtime) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(runtime), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


async def test_models_says_what_is_served(client: httpx.AsyncClient, bundled_runtime: Runtime) -> None:
    (card,) = (await client.get("/v1/models")).json()["data"]
    assert card["id"] == "tiny"
    assert card["owned_by"] == "memscope"
    assert card["max_model_len"] == 8192
    assert card["weights"] == bundled_runtime.loaded.weights
    assert card["dtype"] == "float32"
    assert card["prefix_cache"] is bundled_runtime.loaded.path.prefix_cache
    assert card["path"] == bundled_runtime.loaded.path.name
    assert card["root"].endswith("model")


async def test_health_and_version_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok"}
    assert "version" in (await client.get("/version")).json()


async def test_the_tokenizer_is_provided(client: httpx.AsyncClient) -> None:
    files = (await client.get("/v1/tokenizer")).json()["files"]
    assert {"tokenizer.json", "chat_template.jinja"} <= set(files)


async def test_scores_come_per_range_in_order(client: httpx.AsyncClient) -> None:
    body = {"model": "tiny", "prompt": list(range(20, 50)), "score_ranges": [[20, 25], [3, 5]], "logprobs": 1}
    reply = (await client.post("/v1/score", json=body)).json()
    assert [len(score["token_logprobs"]) for score in reply["scores"]] == [5, 2]
    for score in reply["scores"]:
        assert score["total_logprob"] == pytest.approx(sum(score["token_logprobs"]), abs=1e-9)
    assert reply["usage"]["prompt_tokens"] == 30
    assert 24 <= reply["usage"]["cached_tokens"] + reply["usage"]["computed_tokens"] <= 30


async def test_without_logprobs_only_totals_come(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/score", json={"prompt": [20, 21, 22], "score_ranges": [[1, 3]]})
    assert set(reply.json()["scores"][0]) == {"total_logprob"}


async def test_without_ranges_every_assistant_turn_is_scored(
    client: httpx.AsyncClient, bundled_runtime: Runtime
) -> None:
    encode = bundled_runtime.loaded.tokenizer.encode
    user = encode("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    answer = encode("Hello there.<|im_end|>")
    ids = (user + answer + encode("\n")) * 2
    reply = (await client.post("/v1/score", json={"prompt": ids, "logprobs": 1})).json()
    assert [len(score["token_logprobs"]) for score in reply["scores"]] == [len(answer)] * 2


@pytest.mark.parametrize(
    ("body", "status", "param", "said"),
    [
        ("{", 400, None, "not valid JSON"),
        ("[]", 400, None, "Expected `object`"),
        ("{}", 400, None, "missing required field `prompt`"),
        ('{"prompt": "text"}', 400, "prompt", "Expected `array`, got `str`"),
        ('{"prompt": [1, "a"]}', 400, "prompt", "prompt[1]: Expected `int`, got `str`"),
        ('{"prompt": []}', 400, "prompt", "empty"),
        ('{"prompt": [5, 1536]}', 400, "prompt", "token id 1536 is outside the vocabulary (0 to 1535), at position 1"),
        ('{"prompt": [-1]}', 400, "prompt", "token id -1 is outside"),
        ('{"prompt": [99999999999999999999]}', 400, "prompt", "is outside the vocabulary"),
        ('{"prompt": [5, 6], "model": "other"}', 404, "model", "`other` does not exist here; this server has `tiny`"),
        ('{"prompt": [5, 6], "score_ranges": [[0, 1]]}', 400, "score_ranges", "nothing before it"),
        ('{"prompt": [5, 6], "score_ranges": [[1, 3]]}', 400, "score_ranges", "end <= 2"),
        ('{"prompt": [5, 6], "score_ranges": [[1, 1]]}', 400, "score_ranges", "start < end"),
        ('{"prompt": [5, 6], "score_ranges": [[-2, 1]]}', 400, "score_ranges", "1 <= start"),
        ('{"prompt": [5, 6], "score_ranges": [[1]]}', 400, "score_ranges", "score_ranges[0]"),
        ('{"prompt": [5, 6], "logprobs": 2}', 400, "logprobs", "logprobs: Expected `int` <= 1"),
        ('{"prompt": [5, 6], "priority": "high"}', 400, "priority", "priority: Expected `int`"),
    ],
)
async def test_a_wrong_score_request_is_refused_by_name(
    client: httpx.AsyncClient, body: str, status: int, param: str | None, said: str
) -> None:
    reply = await client.post("/v1/score", content=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (status, param, status)
    assert said in error["message"]
    assert error["type"]


async def test_a_prompt_longer_than_the_context_is_refused(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/score", json={"prompt": [5] * 8193, "score_ranges": [[1, 2]]})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input_tokens")
    assert "8192" in reply.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/score", content=b" " * ((1 << 20) + 1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, 413)


async def test_unknown_paths_and_methods_are_said_in_the_same_shape(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/nothing")
    wrong = await client.get("/v1/score")
    assert (missing.status_code, missing.json()["error"]["message"]) == (404, "there is no /v1/nothing here")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (405, "/v1/score does not take GET")


async def test_the_key_is_demanded_everywhere_but_at_health(bundled_runtime: Runtime) -> None:
    guarded = Runtime(ServeOptions(model="", api_key="secret"))
    guarded.swap(bundled_runtime.loaded)
    async with _served(guarded) as client:
        assert (await client.get("/health")).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            reply = await client.get("/v1/models", headers=headers)
            assert (reply.status_code, reply.json()["error"]["type"]) == (401, "AuthenticationError")
        assert (await client.get("/v1/models", headers={"Authorization": "Bearer secret"})).status_code == 200


_HOSTS = {
    "localhost": 200,
    "LOCALHOST:8000": 200,
    "127.0.0.1:8000": 200,
    "127.9.9.9": 200,
    "[::1]:8000": 200,
    "scorer.localhost": 200,
    "localhost.": 200,
    "evil.example": 421,
    "evil.example:8000": 421,
    "localhost.evil.example": 421,
    "127.0.0.1.evil.example": 421,
    "192.0.2.7": 421,
    "[2001:db8::1]": 421,
    "": 421,
}


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
@pytest.mark.parametrize(("host", "status"), _HOSTS.items())
async def test_only_loopback_names_are_answered_for(
    client: httpx.AsyncClient, path: str, host: str, status: int
) -> None:
    reply = await client.get(path, headers={"Host": host})
    assert reply.status_code == status
    if status == 421:
        assert reply.json()["error"]["type"] == "MisdirectedRequestError"


async def test_a_server_on_the_network_is_reached_by_any_name(bundled_runtime: Runtime) -> None:
    guarded = Runtime(ServeOptions(model="", host="0.0.0.0", api_key="secret"))
    guarded.swap(bundled_runtime.loaded)
    async with _served(guarded) as client:
        headers = {"Host": "gpu-box:8000", "Authorization": "Bearer secret"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/score", "/v1/completions", "/v1/train"])
async def test_deep_nesting_in_an_unknown_field_is_a_wrong_request(client: httpx.AsyncClient, path: str) -> None:
    body = '{"prompt": [5, 6], "other": ' + "[" * 100_000 + "]" * 100_000 + "}"
    reply = await client.post(path, content=body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "the body is nested too deeply")


async def test_web_pages_are_refused_where_no_key_protects(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/score", json={"prompt": [5]}, headers={"Origin": "https://example.com"})
    assert reply.status_code == 403


async def test_while_loading_health_says_so_and_the_rest_asks_to_wait() -> None:
    async with _served(Runtime(ServeOptions(model="somewhere"))) as client:
        health, models = await client.get("/health"), await client.get("/v1/models")
    assert (health.status_code, health.json()) == (503, {"status": "loading"})
    assert health.headers["retry-after"] == "1"
    assert (models.status_code, models.headers["retry-after"]) == (503, "1")


async def test_a_model_that_cannot_be_loaded_is_said_at_health() -> None:
    runtime = Runtime(ServeOptions(model="/nowhere"))
    runtime.load()
    async with _served(runtime) as client:
        health = await client.get("/health")
    assert health.json() == {"status": "failed", "error": "model /nowhere: no such folder"}


async def test_weights_that_give_no_numbers_are_a_clear_500(
    loaded_models: Callable[[str], LoadedModel], bundled_runtime: Runtime
) -> None:
    broken = copy.deepcopy(loaded_models("llama").model)
    norm: Any = broken.model.norm
    torch.nn.init.constant_(norm.weight, float("nan"))
    before = bundled_runtime.loaded
    bundled_runtime.swap(with_weights(loaded_models("llama"), broken))
    try:
        async with _served(bundled_runtime) as client:
            reply = await client.post("/v1/score", json={"prompt": [5, 6, 7], "score_ranges": [[1, 3]]})
    finally:
        bundled_runtime.swap(before)
    assert reply.status_code == 500
    assert "that is not finite" in reply.json()["error"]["message"]
