"""What training teaches, what it disturbs, and what the anchor to the old weights is worth and costs.

`python tests/benchmarks/bench_training.py`: the bundled model on the demo session; the four responses that lean most
on memories are trained without memories in their context.

    fall      by how much the strip-all divergence of the trained responses fell, together, and of the worst of them
    others    by how many nats the other responses' log-probabilities moved with everything present: mean, largest
    stripped  the same with all memories left out, mean
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.server.compute.folder import model_folder
from memscope.server.compute.loading import LoadedModel, load, with_weights
from memscope.server.compute.scoring_steps import score_ranges
from memscope.server.options import ServeOptions, TrainOptions
from memscope.server.training.request import TrainSample
from memscope.server.training.train import fine_tune
from memscope.session.load import load_session

_DEMO = Path(__file__).parents[2] / "memscope" / "demo"
_TRAINED = 4
_VARIANTS: Sequence[Mapping[str, Any]] = (
    {"anchor": 0.0},
    {"anchor": 0.3},
    {"anchor": 1.0},
    {"anchor": 3.0},
    {"anchor": 0.0, "learning_rate": 1e-4},
    {"anchor": 1.0, "learning_rate": 1e-4},
    {"anchor": 1.0, "learning_rate": 1e-3},
    {"anchor": 0.0, "method": "lora"},
    {"anchor": 1.0, "method": "lora"},
    {"anchor": 1.0, "method": "lora", "learning_rate": 3e-3},
)

Totals = dict[int, float]


def _totals(loaded: LoadedModel, prompt: Prompt, without: Collection[str]) -> Totals:
    """Return the log-probability of every response, in nats."""
    found: Totals = {}
    with torch.inference_mode():
        for variant in prompt.variants(without):
            steps = score_ranges(loaded, list(variant.ids), variant.ranges)
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    scores = stop.value
                    break
            for owner, values in zip(variant.owners, scores.ranges, strict=True):
                found[owner] = found.get(owner, 0.0) + float(values.sum(dtype="float64"))
    return found


def _moved(before: Totals, after: Totals, responses: Collection[int]) -> list[float]:
    return [abs(after[response] - before[response]) for response in responses]


def main() -> None:
    """Train every variant from the same weights and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--session", type=Path, default=_DEMO / "session.jsonl")
    parser.add_argument("--model", default=str(_DEMO / "model"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = model_folder(arguments.model)
    loaded = load(folder, ServeOptions(model=arguments.model, threads=1))
    prompt = render(load_session(arguments.session), Tokenizer.load(folder))
    keys = {memory.key for memory in prompt.memories}
    full, bare = _totals(loaded, prompt, ()), _totals(loaded, prompt, keys)
    leaning = {response: full[response] - bare[response] for response in full}
    chosen = sorted(leaning, key=lambda response: -leaning[response])[:_TRAINED]
    others = [response for response in full if response not in chosen]
    samples = [
        TrainSample(list(prompt.context_ids(response, keys)), list(prompt.continuation_ids(response)))
        for response in chosen
    ]
    divergences = ", ".join(f"{leaning[response]:.1f}" for response in chosen)
    sys.stdout.write(
        f"{len(full)} responses, {prompt.tokens} tokens; trained: {_TRAINED} responses with strip-all divergence"
        f" {divergences} nats\n"
    )
    for variant in _VARIANTS:
        began = time.process_time()
        model = fine_tune(loaded, samples, TrainOptions(**variant), lambda *_: None)
        seconds = time.process_time() - began
        trained = with_weights(loaded, model)
        new_full, new_bare = _totals(trained, prompt, ()), _totals(trained, prompt, keys)
        left = {response: new_full[response] - new_bare[response] for response in chosen}
        fall = 100 * (1 - sum(left.values()) / sum(leaning[response] for response in chosen))
        worst = 100 * min(1 - left[response] / leaning[response] for response in chosen)
        moved, stripped = _moved(full, new_full, others), _moved(bare, new_bare, others)
        name = ", ".join(f"{field} {value}" for field, value in variant.items())
        sys.stdout.write(
            f"  {name:44s} fall {fall:5.1f} % (worst {worst:5.1f} %)  others {sum(moved) / len(moved):4.2f}"
            f" (largest {max(moved):4.2f})  stripped {sum(stripped) / len(stripped):5.2f} nats  {seconds:4.1f} CPU-s\n"
        )
    sys.stdout.write(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB\n")


if __name__ == "__main__":
    main()
