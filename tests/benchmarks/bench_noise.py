"""How far two computations of the same cell differ, and whether a noise floor bounds it.

`python tests/benchmarks/bench_noise.py`: generated sessions, the bundled model and random ones, every computation path
with one and two threads. For each pair of settings every cell of the matrix is compared; each setting also measures its
own null path (`alternate_path`) on the baseline. The table says for which share of the cells a floor made of the null
path's differences bounds the difference, over all pairs of two settings.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from memscope.demo.build.generator import Shape, make_session
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.server.compute.loading import PATH_VARIABLE, LoadedModel, load
from memscope.server.compute.scoring_steps import score_ranges
from memscope.server.options import ServeOptions
from tests.demo_sessions import as_session

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]

_BUNDLED = Path(__file__).parents[2] / "memscope" / "demo" / "model"
_SETTINGS = [("products", 1), ("flash", 1), ("stock", 1), ("whole", 1), ("flash", 2), ("stock", 2)]
_SIZES: dict[str, Any] = {
    "vocab_size": 1536,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "initializer_range": 0.08,
}
_MODELS: dict[str, Callable[[], PreTrainedModel] | None] = {
    "bundled": None,
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES)),
}


def _folder(name: str, parent: Path) -> Path:
    make = _MODELS[name]
    if make is None:
        return _BUNDLED
    torch.manual_seed(1)
    make().save_pretrained(parent / name)
    AutoTokenizer.from_pretrained(_BUNDLED).save_pretrained(parent / name)
    return parent / name


def _sums(loaded: LoadedModel, prompt: Prompt, without: set[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    with torch.inference_mode():
        for variant in prompt.variants(without):
            steps = score_ranges(loaded, list(variant.ids), list(variant.ranges))
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    scores = stop.value.ranges
                    break
            for owner, values in zip(variant.owners, scores, strict=True):
                found[owner] = found.get(owner, 0.0) + float(values.sum(dtype="float64"))
    return found


def _null(loaded: LoadedModel, prompt: Prompt, without: set[str]) -> Vector:
    one, other = (_sums(model, prompt, without) for model in (loaded, loaded.alternate))
    return np.array([abs(one[n] - other[n]) for n in sorted(one)])


def _measured(loaded: LoadedModel, prompt: Prompt) -> tuple[Matrix, Vector, Vector]:
    """Return the cells (memories, responses), and the null path's differences with all memories and with none."""
    base = _sums(loaded, prompt, set())
    rows = [_sums(loaded, prompt, {memory.key}) for memory in prompt.memories]
    cells = [
        [base[n] - row[n] if n in memory.responses else np.nan for n in sorted(base)]
        for memory, row in zip(prompt.memories, rows, strict=True)
    ]
    return np.array(cells), _null(loaded, prompt, set()), _null(loaded, prompt, {m.key for m in prompt.memories})


def _floors(base: Vector, stripped: Vector, tokens: Vector) -> dict[str, Vector]:
    """Return floors of every response by formula, of null paths with all memories and with none (one value each)."""
    same = np.ones_like(base)
    both = np.concatenate([base, stripped])
    worst, size = both.max(), np.sqrt((both**2).mean())
    return {
        "3 max, baseline only": 3 * base.max() * same,
        "2 max": 2 * worst * same,
        "3 max": 3 * worst * same,
        "4 max": 4 * worst * same,
        "4 rms": 4 * size * same,
        "6 rms": 6 * size * same,
        "max(2 max, 1e-5 sqrt)": np.maximum(2 * worst, 1e-5 * np.sqrt(tokens)),
        "max(3 max, 1e-5 sqrt)": np.maximum(3 * worst, 1e-5 * np.sqrt(tokens)),
        "last only: max(3 max, 1e-5 sqrt)": np.maximum(3 * max(base[-1], stripped[-1]), 1e-5 * np.sqrt(tokens)),
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=4)
    arguments = parser.parse_args()
    held: dict[str, list[np.ndarray[Any, Any]]] = {}
    tokenizer = Tokenizer.load(_BUNDLED)
    with tempfile.TemporaryDirectory() as parent:
        for name in _MODELS:
            folder = _folder(name, Path(parent))
            seen: list[float] = []
            nulls: list[float] = []
            models = {}
            for path, threads in _SETTINGS:
                torch.set_num_threads(threads)
                os.environ[PATH_VARIABLE] = path
                models[path, threads] = load(folder, ServeOptions(model=name))
            for seed in range(arguments.sessions):
                shape = Shape(8, 5 + 2 * seed)
                prompt = render(as_session(make_session(Random(seed), shape)), tokenizer)
                tokens = np.array([response.tokens for response in prompt.responses], dtype=float)
                found = {}
                for (path, threads), loaded in models.items():
                    torch.set_num_threads(threads)
                    found[path, threads] = _measured(loaded, prompt)
                for one, other in itertools.permutations(found, 2):
                    difference = np.abs(found[one][0] - found[other][0])
                    scored = ~np.isnan(difference)
                    seen += difference[scored].tolist()
                    for formula, floor in _floors(*found[one][1:], tokens).items():
                        bounded = (difference <= floor)[scored]
                        held.setdefault(f"{formula}\0{name}", []).append(bounded)
                        held.setdefault(f"{formula}\0all", []).append(bounded)
                nulls += [float(max(base.max(), stripped.max())) for _, base, stripped in found.values()]
            sys.stdout.write(
                f"{name}: {len(seen)} differences of cells, median {np.median(seen):.1e},"
                f" 99 % {np.quantile(seen, 0.99):.1e}, largest {max(seen):.1e} nat;"
                f" null path's largest {min(nulls):.1e} to {max(nulls):.1e}\n"
            )
    for key, parts in held.items():
        formula, _, name = key.partition("\0")
        sys.stdout.write(f"  {formula:33s} {name:8s} {100 * np.concatenate(parts).mean():7.3f} % of cells within\n")


if __name__ == "__main__":
    main()
