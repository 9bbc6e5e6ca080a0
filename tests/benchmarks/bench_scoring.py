"""What sharing prefixes saves: a whole matrix, three ways, in CPU seconds.

`python tests/benchmarks/bench_scoring.py`: one thread, 3,000 tokens, 20 memories x 20 responses, a random Qwen3 of 6
layers and width 256, all rows in one run. Every method is timed several times, interleaved, and its best time counts:
a shared machine only ever adds to it.

    naive         one plain forward per row, logits everywhere
    naive + head  one plain forward per row, logits only where a response is scored
    memscope      what `memscope serve` does
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.paths import choose_path
from memscope.server.compute.scoring_steps import score_ranges, token_logprobs

Ranges = list[tuple[int, int]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

_COUNT = 20
_CHUNK = 512


@dataclass(frozen=True)
class Layout:
    """A session's ids and spans."""

    name: str
    ids: Ids
    memories: Ranges
    responses: Ranges

    def rows(self) -> Iterator[tuple[int, Ids, list[int], Ranges]]:
        """Yield (row, ids, columns, ranges): the baseline as row 0, then one leave-out per memory."""
        everything = list(range(len(self.responses)))
        yield 0, self.ids, everything, self.responses
        for row, (start, stop) in enumerate(self.memories, 1):
            columns = [column for column in everything if self.responses[column][0] >= stop]
            shift = stop - start
            ranges = [(self.responses[column][0] - shift, self.responses[column][1] - shift) for column in columns]
            yield row, np.concatenate([self.ids[:start], self.ids[stop:]]), columns, ranges

    def minimum(self) -> int:
        """Return the exact minimum of tokens to forward."""
        end = self.responses[-1][1]
        return end + sum(end - stop for _, stop in self.memories)


def _layout(name: str) -> Layout:
    position, memories, responses = 100, [], []
    for _ in range(_COUNT):
        if name == "interleaved":
            position += 25
        memories.append((position, position + 50))
        position += 50
        if name == "interleaved":
            responses.append((position, position + 70))
            position += 70
    while len(responses) < _COUNT:
        responses.append((position + 25, position + 95))
        position += 95
    return Layout(name, np.random.default_rng(1).integers(0, 4096, position), memories, responses)


def _model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=8192,
        initializer_range=0.08,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval().requires_grad_(False)  # type: ignore[no-any-return, no-untyped-call]


def _naive(model: PreTrainedModel, layout: Layout, *, head_everywhere: bool) -> tuple[Matrix, int]:
    found, tokens = _empty(), 0
    for row, ids, columns, ranges in layout.rows():
        if not ranges:
            continue
        batch, tokens = torch.from_numpy(ids)[None], tokens + len(ids)
        wanted = torch.cat([torch.arange(start - 1, end - 1) for start, end in ranges])
        if head_everywhere:
            logprobs = model(batch, use_cache=False).logits[0].log_softmax(-1)
            values = logprobs[wanted, batch[0, wanted + 1]]
        else:
            logits = model(batch, use_cache=False, logits_to_keep=wanted).logits[0]
            values = token_logprobs(logits, batch[0, wanted + 1])
        lengths = [end - start for start, end in ranges]
        found[row, columns] = [float(part.double().sum()) for part in torch.split(values, lengths)]
    return found, tokens


def _memscope(loaded: LoadedModel, layout: Layout) -> tuple[Matrix, int]:
    found, tokens = _empty(), 0
    for row, ids, columns, ranges in layout.rows():
        steps = score_ranges(loaded, ids.tolist(), ranges)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                scores = stop.value
                break
        found[row, columns] = [float(values.sum(dtype="float64")) for values in scores.ranges]
        tokens += scores.computed_tokens
    return found, tokens


def _empty() -> Matrix:
    return np.zeros((_COUNT + 1, _COUNT))


def _ours(model: PreTrainedModel) -> Callable[[Layout], tuple[Matrix, int]]:
    path = choose_path(model, 8192, _CHUNK)
    sys.stdout.write(f"path: {path.name}, granules of {path.grid.granule}, chunks of {path.grid.span}\n")

    def run(layout: Layout) -> tuple[Matrix, int]:
        store = PrefixStore(1 << 30)
        loaded = LoadedModel(
            model=model,
            tokenizer=None,  # type: ignore[arg-type]  # ids in, numbers out
            root=Path(),
            name="random",
            weights="",
            max_tokens=8192,
            path=path,
            network=path.apply(model),
            store=store,
        )
        return _memscope(loaded, layout)

    return run


def _measure(layout: Layout, plain: PreTrainedModel, ours: Callable[[Layout], tuple[Matrix, int]], runs: int) -> None:
    methods: dict[str, Callable[[], tuple[Matrix, int]]] = {
        "naive": lambda: _naive(plain, layout, head_everywhere=True),
        "naive + head": lambda: _naive(plain, layout, head_everywhere=False),
        "memscope": lambda: ours(layout),
    }
    best = dict.fromkeys(methods, float("inf"))
    results: dict[str, tuple[Matrix, int]] = {}
    for _ in range(runs):
        for name, method in methods.items():
            began = time.process_time()
            results[name] = method()
            best[name] = min(best[name], time.process_time() - began)
    reference = results["naive"][0]
    sys.stdout.write(f"\n{layout.name}: {len(layout.ids)} tokens, minimum to forward {layout.minimum()}\n")
    for name, (found, tokens) in results.items():
        sys.stdout.write(
            f"  {name:13s} {best[name]:6.2f} CPU-s  {best['naive'] / best[name]:4.2f}x naive"
            f"  {best['naive + head'] / best[name]:4.2f}x naive + head  {tokens:6d} tokens"
            f" ({tokens / layout.minimum():.3f} of the minimum)  max |d| {np.abs(found - reference).max():.1e} nat\n"
        )


def main() -> None:
    """Measure both layouts and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--layout", choices=["interleaved", "front-loaded", "both"], default="both")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plain, ours = _model(), _ours(_model())
    layouts = ["interleaved", "front-loaded"] if arguments.layout == "both" else [arguments.layout]
    with torch.inference_mode():
        for name in layouts:
            _measure(_layout(name), plain, ours, arguments.runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"\npeak memory of the process, all methods: {peak:.0f} MiB\n")


if __name__ == "__main__":
    main()
