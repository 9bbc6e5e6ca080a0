"""`/v1/completions` in vLLM's shapes, and in agreement with `/v1/score`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import torch

from memscope.server.compute.generation_steps import GeneratedToken, generate
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.sampling import SamplingOptions
from memscope.server.runtime import Runtime

pytestmark = pytest.mark.anyio

_PROMPT = list(range(30, 60))


async def _ask(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await client.post("/v1/completions", json={"model": "tiny", "prompt": _PROMPT} | fields)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("kind", [0, 1])
async def test_prompt_logprobs_have_vllms_shape_and_the_scores_values(client: httpx.AsyncClient, kind: int) -> None:
    reply = await _ask(client, max_tokens=1, temperature=0, prompt_logprobs=kind)
    entries = reply["choices"][0]["prompt_logprobs"]
    assert len(entries) == len(_PROMPT)
    assert entries[0] is None
    scored = await client.post(
        "/v1/score", json={"prompt": _PROMPT, "score_ranges": [[1, len(_PROMPT)]], "logprobs": 1}
    )
    values = scored.json()["scores"][0]["token_logprobs"]
    for token, entry, value in zip(_PROMPT[1:], entries[1:], values, strict=True):
        assert entry[str(token)]["logprob"] == pytest.approx(value, abs=1e-4)
        assert set(entry[str(token)]) == {"logprob", "rank", "decoded_token"}
        assert len(entry) == (1 if kind == 0 or entry[str(token)]["rank"] == 1 else 2)
    assert reply["usage"]["prompt_tokens"] == len(_PROMPT)


async def test_a_greedy_token_has_the_log_probability_that_scoring_it_gives(client: httpx.AsyncClient) -> None:
    reply = await _ask(client, max_tokens=1, temperature=0, logprobs=1, return_token_ids=True)
    (choice,) = reply["choices"]
    (token,) = choice["token_ids"]
    ids = [*_PROMPT, token]
    scored = await client.post("/v1/score", json={"prompt": ids, "score_ranges": [[len(_PROMPT), len(ids)]]})
    assert choice["logprobs"]["token_logprobs"][0] == pytest.approx(
        scored.json()["scores"][0]["total_logprob"], abs=1e-4
    )
    assert choice["prompt_token_ids"] == _PROMPT
    assert choice["finish_reason"] == "length"


async def test_a_seed_repeats_a_text_and_streams_the_same(client: httpx.AsyncClient) -> None:
    fields = {"max_tokens": 12, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "seed": 4, "return_token_ids": True}
    whole = await _ask(client, **fields)
    again = await _ask(client, **fields)
    assert whole["choices"] == again["choices"]
    body = {"prompt": _PROMPT, "stream": True, "stream_options": {"include_usage": True}} | fields
    events = _events((await client.post("/v1/completions", json=body)).text)
    choices = [event["choices"][0] for event in events if event["choices"]]
    assert [token for choice in choices for token in choice["token_ids"]] == whole["choices"][0]["token_ids"]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"]
    assert choices[0]["prompt_token_ids"] == _PROMPT
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


async def test_a_text_ends_at_the_models_end_token(client: httpx.AsyncClient, bundled_runtime: Runtime) -> None:
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    reply = await _ask(client, prompt=text, max_tokens=60, temperature=0, return_token_ids=True)
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["token_ids"][-1] in bundled_runtime.loaded.eos_ids
    assert "<|im_end|>" not in choice["text"]


@pytest.mark.parametrize("extreme", [{"top_k": 10**30}, {"temperature": 1e-300}, {"temperature": 1e300}])
async def test_extreme_sampling_still_gives_tokens(client: httpx.AsyncClient, extreme: dict[str, Any]) -> None:
    assert (await _ask(client, max_tokens=2, **extreme))["usage"]["completion_tokens"] >= 1


async def test_several_prompts_give_as_many_choices(client: httpx.AsyncClient) -> None:
    reply = await _ask(client, prompt=[[40, 41], "hello"], max_tokens=2)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]


async def test_max_tokens_is_cut_to_the_context(client: httpx.AsyncClient) -> None:
    reply = await _ask(client, prompt=[50] * 8190, max_tokens=50, return_token_ids=True)
    assert len(reply["choices"][0]["token_ids"]) <= 2


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": [5] * 8192}, 400, "input_tokens"),
        ({"prompt": [9999]}, 400, "prompt"),
        ({"prompt": {"a": 1}}, 400, "prompt"),
        ({"model": "other"}, 404, "model"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"temperature": -1}, 400, "temperature"),
        ({"top_p": 0}, 400, "top_p"),
        ({"prompt_logprobs": 2}, 400, "prompt_logprobs"),
        ({"prompt_logprobs": 0, "stream": True}, 400, "prompt_logprobs"),
        ({"seed": 2**64}, 400, "seed"),
        ({"n": 2}, 400, "n"),
        ({"echo": True}, 400, "echo"),
        ({"stop": ["x"]}, 400, "stop"),
        ({"prompt": [5] * 8192, "stream": True}, 400, "input_tokens"),
    ],
)
async def test_a_wrong_request_is_refused_by_name(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, param: str
) -> None:
    reply = await client.post("/v1/completions", json={"model": "tiny", "prompt": _PROMPT} | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("architecture", ["bundled", "qwen3", "gemma"])
def test_greedy_tokens_are_those_of_plain_forwards(
    architecture: str, loaded_models: Callable[[str], LoadedModel], drain: Callable[[Any], Any]
) -> None:
    loaded = loaded_models(architecture)
    made: list[GeneratedToken] = []
    drain(generate(loaded, _PROMPT, 8, SamplingOptions(temperature=0), made.append))
    ids = list(_PROMPT)
    for token in made:
        with torch.inference_mode():
            row = loaded.model(torch.tensor([ids]), use_cache=False).logits[0, -1].log_softmax(-1)
        assert token.token == int(row.argmax())
        assert token.logprob == pytest.approx(float(row.max()), abs=1e-4)
        ids.append(token.token)
