"""Models to serve: the bundled one, and random tiny ones of several architectures, each saved and loaded for real."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from memscope.server.api.app import create_app
from memscope.server.compute.loading import PATH_VARIABLE, LoadedModel, load
from memscope.server.compute.worker import Steps
from memscope.server.options import ServeOptions
from memscope.server.runtime import Runtime

Ranges: TypeAlias = Sequence[tuple[int, int]]

BUNDLED = Path(__file__).parents[2] / "memscope" / "demo" / "model"
_SIZES: dict[str, Any] = {
    "vocab_size": 1536,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
_MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES)),
    "mixture": lambda: MixtralForCausalLM(MixtralConfig(num_local_experts=4, num_experts_per_tok=2, **_SIZES)),
    "gemma": lambda: Gemma3ForCausalLM(Gemma3TextConfig(sliding_window=16, query_pre_attn_scalar=16, **_SIZES)),
}


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    # Any number must do: `MEMSCOPE_TEST_THREADS=2 MEMSCOPE_SERVE_PATH=flash pytest tests/server` tries another way.
    torch.set_num_threads(int(os.environ.get("MEMSCOPE_TEST_THREADS", "1")))


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], PreTrainedModel]], Path]:
    """Return a function that makes a model with random weights and saves it with the bundled tokenizer."""

    def saved(kind: str, make: Callable[[], PreTrainedModel]) -> Path:
        torch.manual_seed(len(kind))
        folder = tmp_path_factory.mktemp(kind)
        make().save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(BUNDLED / name, folder / name)
        return folder

    return saved


@pytest.fixture(scope="session")
def model_folders(saved_model: Callable[[str, Callable[[], PreTrainedModel]], Path]) -> Callable[[str], Path]:
    """Return a function from an architecture's name (or "bundled") to a model folder."""
    made: dict[str, Path] = {"bundled": BUNDLED}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = saved_model(kind, _MAKERS[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def loaded_models(model_folders: Callable[[str], Path]) -> Callable[[str], LoadedModel]:
    """Return a function from an architecture's name to the loaded model, one for the whole session."""
    made: dict[str, LoadedModel] = {}

    def loaded(kind: str) -> LoadedModel:
        if kind not in made:
            # A small chunk, so that short tests cross many boundaries.
            made[kind] = load(model_folders(kind), ServeOptions(model=kind, chunk_tokens=24))
        return made[kind]

    return loaded


@pytest.fixture(scope="session")
def sharing_models(model_folders: Callable[[str], Path]) -> Callable[[str], LoadedModel]:
    """Return the same on a path that shares prefixes, whatever path this machine or the variable would choose."""
    made: dict[str, LoadedModel] = {}

    def loaded(kind: str) -> LoadedModel:
        if kind not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(PATH_VARIABLE, "flash")
                made[kind] = load(model_folders(kind), ServeOptions(model=kind, chunk_tokens=32))
        return made[kind]

    return loaded


@pytest.fixture(scope="session")
def drain() -> Callable[[Steps[Any]], Any]:
    """Return a function that runs steps to their end, as the worker does, and gives their result."""

    def run(steps: Steps[Any]) -> Any:
        with torch.inference_mode():
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    return stop.value

    return run


@pytest.fixture(scope="session")
def plain_sums() -> Callable[[PreTrainedModel, Sequence[int], Ranges], list[float]]:
    """Return what scores must equal: sums over ranges from one plain forward with stock attention and no cache."""

    @torch.inference_mode()
    def sums(model: PreTrainedModel, ids: Sequence[int], ranges: Ranges) -> list[float]:
        own = model.config._attn_implementation
        model.set_attn_implementation("sdpa")
        try:
            logprobs = model(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
        finally:
            model.set_attn_implementation(own or "sdpa")
        return [
            float(logprobs[torch.arange(start - 1, end - 1), torch.tensor(ids[start:end])].double().sum())
            for start, end in ranges
        ]

    return sums


@pytest.fixture(scope="session")
def bundled_runtime() -> Iterator[Runtime]:
    """Yield the state of a server of the bundled model, loaded, with its worker running."""
    runtime = Runtime(ServeOptions(model=str(BUNDLED), served_name="tiny", max_body_bytes=1 << 20))
    runtime.load()
    assert runtime.error is None
    yield runtime
    assert runtime.stop(10)


@pytest.fixture
async def client(bundled_runtime: Runtime, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the bundled model's server, without a socket between."""
    transport = httpx.ASGITransport(create_app(bundled_runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
