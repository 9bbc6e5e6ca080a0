"""Sessions with calls against plain forwards of each call's own prompt, rendered here without memscope."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from msgspec.structs import replace
from transformers import AutoModelForCausalLM, AutoTokenizer

from memscope.config import Config, TemplateChoice
from memscope.demo import model_folder
from memscope.prompt.prompt import Prompt
from memscope.run.run import Run
from memscope.scoring import matrix
from memscope.scoring.batches import response_batches
from memscope.scoring.events import Notice
from memscope.scoring.finetune import strip_all
from memscope.scoring.grid import MEASURES
from memscope.scoring.layout import Layout
from memscope.server.compute.attention import BLOCK
from memscope.store.database import Database
from tests.call_sessions import Exchange, Message, call_session, message, retrieving_agent, text, trie_size
from tests.conftest import start_scorer, stop_scorer

pytestmark = pytest.mark.anyio

MIRA = text("The user is called Mira.\n", "user/name")
PORT = text("Staging listens on port 7432.\n", "db/port")
NEW_PORT = text("Staging listens on port 8111.\n", "db/port")
SYSTEM = message("system", "You are a helpful agent.\n", MIRA, PORT)
MOVED = message("system", "You are a helpful agent.\n", MIRA, NEW_PORT)
WHO, NAME = message("user", "What is my name?"), message("assistant", "You are called Mira.")
WHICH, SAID = message("user", "Which port?"), message("assistant", "It is 7432.")
CALLS = message("assistant", {"type": "tool_call", "id": "1", "name": "sh", "arguments": {"cmd": "ls"}})
THINKS = message("assistant", {"type": "thinking", "text": "They want the port."}, "Port 8111.")
RESULT = message("tool", {"type": "tool_result", "id": "1", "text": "a.txt"})
SUMMARY = message("user", "Summary: we talked about ports.\n", text("Mira likes ports.\n", "likes"), "Go on.")

EXCHANGES = [
    Exchange([SYSTEM, WHO], NAME),
    Exchange([message("system", "Make a title."), message("user", "Title of: What is my name?")], SAID),
    Exchange([SYSTEM, WHO, NAME, WHICH], SAID),
    Exchange([MOVED, WHO, NAME, WHICH, SAID, message("user", "And now?")], THINKS),
    Exchange(
        [MOVED, WHO, NAME, WHICH, SAID, message("user", "And now?"), message("assistant", "Port 8111."), WHO], NAME
    ),
    Exchange([MOVED, SUMMARY], CALLS),
    Exchange([MOVED, SUMMARY, CALLS, RESULT], message("assistant", "There is a.txt."), {"status": "cut"}),
    Exchange(
        [MOVED, WHO, message("assistant", "You are")], message("assistant", " Mira."), {"api": "anthropic-messages"}
    ),
    Exchange([MOVED, message("user", "Fail.")], None, {"status": "failed"}),
]

_OPEN, _CLOSE = "\ue000", "\ue001"
"""What marks a memory in the rendered text."""


@functools.cache
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32)


@functools.cache
def tokenizer() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(model_folder() / "tokenizer.json"))


def as_chat(value: Message) -> dict[str, Any]:
    """Return a message for the chat template, with its memories between marks that contain their keys."""
    made: dict[str, Any] = {"role": value["role"], "content": ""}
    for part in value["content"]:
        match part["type"]:
            case "text" if "memory" in part:
                made["content"] += f"{_OPEN}{part['memory']['key']}{_OPEN}{part['text']}{_CLOSE}"
            case "text" | "tool_result":
                made["content"] += part["text"]
            case "thinking":
                made["reasoning_content"] = part["text"]
            case "tool_call":
                call = {"name": part["name"], "arguments": part["arguments"]}
                made.setdefault("tool_calls", []).append({"type": "function", "id": part["id"], "function": call})
    return made


def rendered(exchange: Exchange) -> tuple[str, str]:
    """Return the text before a response and the scored text, with marks around memories."""
    template: Any = AutoTokenizer.from_pretrained(model_folder())
    assert exchange.response is not None
    prompt = [as_chat(value) for value in exchange.prompt]
    begun = exchange.fields.get("api") == "anthropic-messages" and prompt[-1]["role"] == "assistant"
    response = as_chat(exchange.response)
    if begun:
        before = template.apply_chat_template(prompt, tokenize=False).removesuffix("<|im_end|>\n")
        prompt[-1]["content"] += response["content"]
        whole = template.apply_chat_template(prompt, tokenize=False)
    else:
        before = template.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        whole = template.apply_chat_template([*prompt, response], tokenize=False)
    end = "" if exchange.fields.get("status") == "cut" else "<|im_end|>"
    return before, whole[len(before) :].removesuffix("\n").removesuffix("<|im_end|>") + end


def logprob(exchange: Exchange, removed: Sequence[str] = ()) -> float:
    """Return the log-probability of a response by one plain forward of its call."""
    before, said = rendered(exchange)
    pieces = [before]
    while match := re.search(f"{_OPEN}(.*?){_OPEN}(.*?){_CLOSE}", pieces[-1], re.DOTALL):
        last = pieces.pop()
        pieces += [last[: match.start()], *([match[2]] if match[1] not in removed else []), last[match.end() :]]
    ids: list[int] = []
    for piece in pieces[:-1]:
        ids += tokenizer().encode(piece, add_special_tokens=False).ids
    encoding = tokenizer().encode(pieces[-1] + said, add_special_tokens=False)
    start = len(ids) + sum(end <= len(pieces[-1]) for _, end in encoding.offsets)
    ids += encoding.ids
    with torch.inference_mode():
        logprobs = model()(torch.tensor([ids])).logits[0].log_softmax(-1).double()
    return float(sum(logprobs[at - 1, ids[at]] for at in range(start, len(ids))))


def keys(exchange: Exchange) -> set[str]:
    return {part["memory"]["key"] for value in exchange.prompt for part in value["content"] if "memory" in part}


@pytest.mark.parametrize("template", ["own", "chatml"])
async def test_every_cell_is_that_of_its_own_call(template: TemplateChoice, config: Config, tmp_path: Path) -> None:
    run = Run(call_session(EXCHANGES), replace(config, template=template), Database(tmp_path / "db"))
    answered = [exchange for exchange in EXCHANGES if exchange.response is not None]
    try:
        for measure in MEASURES:
            await run.matrix(measure)
        assert run.prompt.template == template
        assert len(run.layout.columns) == len(answered)
        for column, exchange in enumerate(answered):
            present = keys(exchange)
            base = logprob(exchange)
            bare = logprob(exchange, list(present))
            assert run.grids["necessity"].logprob[column] == pytest.approx(base, abs=5e-4)
            for row, memory in enumerate(run.layout.rows):
                assert memory.affects(column) == (memory.key in present)
                necessity, sufficiency = (run.grids[measure].values[row][column] for measure in MEASURES)
                if memory.key not in present:
                    assert (necessity, sufficiency) == (0.0, 0.0)
                    continue
                assert necessity == pytest.approx(base - logprob(exchange, [memory.key]), abs=5e-4)
                alone = logprob(exchange, list(present - {memory.key}))
                assert sufficiency == pytest.approx(alone - bare, abs=5e-4)
    finally:
        await run.close()


async def test_calls_that_continue_each_other_share_a_sequence(config: Config, tmp_path: Path) -> None:
    run = Run(call_session(EXCHANGES), config, Database(tmp_path / "db"))
    try:
        await run.matrix()
        assert [list(one.responses) for one in run.prompt.sequences] == [[0, 2], [1], [3], [4], [5, 6], [7]]
    finally:
        await run.close()


async def test_the_cost_is_that_of_the_tree_of_calls(config: Config, tmp_path: Path) -> None:
    run = Run(call_session(retrieving_agent(12, memories=8)), config, Database(tmp_path / "db"))
    try:
        await run.matrix()
        prompt = run.prompt
        variants = [one.ids for one in prompt.variants()]
        for memory in prompt.memories:
            variants += [one.ids for one in prompt.variants({memory.key}, responses=memory.responses)]
        bare = [one.ids for one in prompt.variants(run.layout.keys)]
        # With all left out, a sample is scored once more for the noise floor. Each sequence begins at a block's edge.
        again = sum(map(len, sorted(bare, key=len)[-8:]))
        rounding = BLOCK * (len(variants) + len(bare))
        assert run.cost.tokens_forwarded <= 1.02 * trie_size([*variants, *bare]) + again + rounding
    finally:
        await run.close()


async def test_a_small_prefix_cache_costs_no_more_and_changes_no_value(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = call_session(retrieving_agent(10, memories=8))
    run = Run(session, config, Database(tmp_path / "one"))
    try:
        await run.matrix()
        values, forwarded = [list(row) for row in run.grids["necessity"].values], run.cost.tokens_forwarded
        longest = len(run.prompt)
    finally:
        await run.close()
    small = Run(session, config, Database(tmp_path / "two"))
    try:
        batches: list[Collection[str] | None] = []

        def in_batches(prompt: Prompt, layout: Layout, responses: None, _: int) -> list[Collection[str] | None]:
            batches.extend(response_batches(prompt, layout, responses, 8 * longest))
            return batches

        monkeypatch.setattr(matrix, "response_batches", in_batches)
        await small.matrix(fresh=True)
        assert len(batches) > 1
        assert not any(map(math.isnan, small.grids["necessity"].stripped))
        assert [list(row) for row in small.grids["necessity"].values] == values
        assert small.cost.tokens_forwarded <= 1.1 * forwarded
    finally:
        await small.close()


async def test_calls_that_fit_the_model_are_scored_though_others_do_not(config: Config, tmp_path: Path) -> None:
    long = [message("system", "You are a helpful agent.\n", MIRA), message("user", "Who? " * 40)]
    session = call_session([Exchange(long, NAME), Exchange([SYSTEM, WHO], NAME)])
    address = start_scorer("--max-model-len", "80")
    run = Run(session, replace(config, url=address.url), Database(tmp_path / "db"))
    heard: list[str] = []
    run.listen(lambda event: heard.append(event.text) if isinstance(event, Notice) else None)
    try:
        for fresh in (False, True):
            await run.matrix(fresh=fresh)
        grid = run.grids["necessity"]
        assert grid.logprob[1] == pytest.approx(logprob(Exchange([SYSTEM, WHO], NAME)), abs=5e-4)
        assert [math.isnan(value) for value in grid.values[0]] == [True, False]
        assert list(await strip_all(run.ablation_scorer(), run.layout.responses)) == [run.layout.responses[1]]
        assert len([line for line in heard if line.startswith("1 response not scored: too long for")]) == 1
    finally:
        await run.close()
        stop_scorer(address)
