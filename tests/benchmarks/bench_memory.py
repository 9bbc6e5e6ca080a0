"""How much memory a long context takes.

`python tests/benchmarks/bench_memory.py`: a model of the bundled architecture's size with random weights and positions
for 30,000 tokens; its baseline is scored, then leave-outs in three places. Prints the peak of the whole process,
keys and values kept for reuse included.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from memscope.server.compute.kv import PrefixStore
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.paths import choose_path
from memscope.server.compute.scoring_steps import score_ranges

_BUNDLED = Path(__file__).parents[2] / "memscope" / "demo" / "model"
_CHUNK = 512
_MEMORY = 60


def _loaded(tokens: int, budget_bytes: int) -> LoadedModel:
    config = AutoConfig.from_pretrained(_BUNDLED)
    config.max_position_embeddings = tokens
    torch.manual_seed(0)
    make = AutoModelForCausalLM.from_config
    model = make(config, dtype=torch.float32).eval().requires_grad_(False)  # type: ignore[no-untyped-call]
    path = choose_path(model, tokens, _CHUNK)
    return LoadedModel(
        model=model,
        tokenizer=None,  # type: ignore[arg-type]  # ids in, numbers out
        root=_BUNDLED,
        name="random",
        weights="",
        max_tokens=tokens,
        path=path,
        network=path.apply(model),
        store=PrefixStore(budget_bytes),
    )


def _score(loaded: LoadedModel, ids: list[int], ranges: list[tuple[int, int]]) -> int:
    steps = score_ranges(loaded, ids, ranges)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return int(stop.value.computed_tokens)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Score the baseline and three leave-outs, and print the peak after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=30_000)
    parser.add_argument("--kv-budget", type=int, default=1024, metavar="MIB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = _loaded(arguments.tokens, arguments.kv_budget << 20)
    ids = np.random.default_rng(1).integers(0, loaded.vocabulary, arguments.tokens).tolist()
    responses = [(start + 1, start + 101) for start in range(0, arguments.tokens - 200, 1000)]
    sys.stdout.write(f"{loaded.path.attention}, {_peak_mib():.0f} MiB before scoring\n")
    with torch.inference_mode():
        for name, at in (("baseline", None), ("late", 0.9), ("middle", 0.5), ("early", 0.0)):
            began = time.process_time()
            start = arguments.tokens if at is None else int(at * arguments.tokens) + 200
            left = ids[:start] + ids[start + _MEMORY :]
            ranges = [(a - _MEMORY, b - _MEMORY) for a, b in responses if a >= start + _MEMORY] or responses
            computed = _score(loaded, left, ranges)
            sys.stdout.write(
                f"  {name:9s} {computed:6d} tokens forwarded  {time.process_time() - began:6.1f} CPU-s"
                f"  {loaded.store.nbytes >> 20:5d} MiB kept  peak {_peak_mib():5.0f} MiB\n"
            )


if __name__ == "__main__":
    main()
