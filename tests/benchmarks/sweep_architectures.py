"""Scores with shared prefixes against one plain forward, over every causal architecture that can be built tiny.

`python tests/benchmarks/sweep_architectures.py`: every class of transformers' causal mapping whose configuration can be
shrunk, and variants (rotary types, sliding windows, soft caps, sinks, experts, biases). Each model gets random weights
and is loaded as `memscope serve` loads it; then a baseline and leave-outs are scored, one finding what the other left,
and compared with plain forwards of the model as transformers makes it. Prints a line a model, the worst difference, and
which were refused or computed plainly. Stops after `--seconds`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from types import FrameType
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from memscope.errors import ScorerError
from memscope.server.compute.kv import PrefixStore
from memscope.server.compute.loading import LoadedModel, training_copy
from memscope.server.compute.paths import choose_path
from memscope.server.compute.scoring_steps import score_ranges

_TOKENS = 160
_VOCABULARY = 256
_SECONDS_EACH = 12
_SHRUNK: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 64,
    "d_model": 64,
    "n_embd": 64,
    "dim": 64,
    "embed_dim": 64,
    "intermediate_size": 96,
    "ffn_dim": 96,
    "d_ff": 96,
    "n_inner": 96,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "ffn_hidden_size": 96,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "num_layers": 2,
    "n_layers": 2,
    "decoder_layers": 2,
    "encoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_kv_heads": 2,
    "multi_query_group_num": 2,
    "head_dim": 16,
    "kv_channels": 16,
    "rotary_dim": 8,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "max_position_embeddings": 256,
    "n_positions": 256,
    "max_sequence_length": 256,
    "n_ctx": 256,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "state_size": 8,
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "lru_width": 64,
    "attention_window_size": 64,
    "word_embed_proj_dim": 64,
    "embedding_size": 64,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "is_decoder": True,
}
_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
_ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    "yarn": _YARN,
    "llama3": _YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "longrope": _YARN | {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [6.0] * 8},
}
_VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    *(("llama", f"rope {name}", {"rope_parameters": rope}) for name, rope in _ROPES.items()),
    (
        "llama",
        "rope dynamic, past its first length",
        {"rope_parameters": _ROPES["dynamic"], "max_position_embeddings": 64},
    ),
    ("llama", "biases", {"attention_bias": True, "mlp_bias": True}),
    ("llama", "tied, one key/value head", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    ("mistral", "window 32", {"sliding_window": 32}),
    ("mistral", "no window", {"sliding_window": None}),
    ("qwen2", "window 32 in upper layers", {"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1}),
    ("gemma2", "soft cap 5", {"attn_logit_softcapping": 5.0, "sliding_window": 512}),
    ("gemma2", "soft cap 5, window 32", {"attn_logit_softcapping": 5.0, "sliding_window": 32}),
    ("gemma3_text", "window 32", {"sliding_window": 32}),
    ("gemma3_text", "window past the context", {"sliding_window": 1024}),
    ("gpt_oss", "sinks, window 32", {"sliding_window": 32}),
    ("gpt_oss", "sinks, no window", {"sliding_window": 1024}),
    ("mixtral", "window 32", {"sliding_window": 32}),
    ("gpt_neox", "sequential residual", {"use_parallel_residual": False}),
    ("falcon", "alibi", {"alibi": True}),
    ("falcon", "new decoder", {"new_decoder_architecture": True}),
    ("phi3", "longrope", {"rope_parameters": _ROPES["longrope"], "original_max_position_embeddings": 64}),
    ("bert", "looking ahead", {"is_decoder": False}),
    ("roberta", "looking ahead", {"is_decoder": False}),
]


@dataclass(frozen=True)
class _Outcome:
    path: str
    difference: float
    note: str


class _TooSlowError(Exception):
    pass


def _models() -> Iterator[tuple[str, Callable[[], PreTrainedModel]]]:
    for kind, variant, changes in _VARIANTS:
        yield f"{kind}, {variant}", lambda kind=kind, changes=changes: _built(kind, changes)  # type: ignore[misc]
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        yield kind, lambda kind=kind: _built(kind, {})  # type: ignore[misc]


def _built(kind: str, changes: dict[str, Any]) -> PreTrainedModel:
    default = AutoConfig.for_model(kind)
    text = default.get_text_config(decoder=True)
    wanted = {name: value for name, value in _SHRUNK.items() if _settable(text, name)}
    if hasattr(text, "qk_rope_head_dim"):
        wanted.pop("head_dim", None)  # it is the rotary part's there
    if _settable(text, "layer_types") and text.layer_types:
        # One layer of every kind that the default has, at least two.
        kinds = list(dict.fromkeys(text.layer_types))
        layers = kinds if len(kinds) > 1 else kinds * 2
        wanted |= {"layer_types": layers}
        wanted |= {name: len(layers) for name in ("num_hidden_layers", "n_layer") if hasattr(text, name)}
    config = type(text)(**(wanted | changes))
    torch.manual_seed(len(kind))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if model.num_parameters() > 8_000_000:
        raise MemoryError(f"not tiny: {model.num_parameters():,} parameters")
    model.eval().requires_grad_(False)
    return model  # type: ignore[no-any-return]


def _settable(config: PretrainedConfig, name: str) -> bool:
    found = getattr(type(config), name, None)
    return hasattr(config, name) and not (isinstance(found, property) and found.fset is None)


def _loaded(model: PreTrainedModel) -> LoadedModel:
    text = model.config.get_text_config(decoder=True)
    limit = (
        256 if getattr(text, "max_position_embeddings", 256) == 64 else getattr(text, "max_position_embeddings", None)
    )
    path = choose_path(model, limit, 512)
    return LoadedModel(
        model=model,
        tokenizer=None,  # type: ignore[arg-type]  # ids in, numbers out
        root=None,  # type: ignore[arg-type]
        name="random",
        weights="",
        max_tokens=limit,
        path=path,
        network=path.apply(model),
        store=PrefixStore(1 << 28),
    )


def _scores(loaded: LoadedModel, ids: list[int], ranges: list[tuple[int, int]]) -> list[np.ndarray[Any, Any]]:
    steps = score_ranges(loaded, ids, ranges)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return list(stop.value.ranges)


def _checked(make: Callable[[], PreTrainedModel]) -> _Outcome:
    loaded = _loaded(make())
    ids = Random(9).choices(range(3, _VOCABULARY), k=_TOKENS)
    worst = 0.0
    for start, stop in ((0, 0), (90, 100), (66, 81), (20, 40)):
        row = ids[:start] + ids[stop:]
        end = len(row)
        ranges = [(max(start, 1), max(start, 1) + 25), (end - 30, end)]
        # A model as transformers makes it, which has seen nothing yet.
        plain = training_copy(loaded)
        for (first, last), values in zip(ranges, _scores(loaded, row, ranges), strict=True):
            given = row[:last] if loaded.path.name == "ranges" else row
            loaded.path.rotary.restore(plain)
            logprobs = plain(torch.tensor([given]), use_cache=False).logits[0].float().log_softmax(-1)
            expected = logprobs[torch.arange(first - 1, last - 1), torch.tensor(row[first:last])]
            worst = max(worst, float((torch.from_numpy(values) - expected).abs().max()))
    return _Outcome(loaded.path.name, worst, loaded.path.note)


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise _TooSlowError(f"more than {_SECONDS_EACH} s")


def main() -> None:
    """Sweep and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=230)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _too_slow)
    began = time.monotonic()
    done: dict[str, _Outcome] = {}
    refused: dict[str, str] = {}
    unbuilt: dict[str, str] = {}
    for name, make in _models():
        if time.monotonic() - began > arguments.seconds:
            unbuilt[name] = "out of time"
            continue
        signal.alarm(_SECONDS_EACH)
        try:
            with torch.inference_mode():
                done[name] = _checked(make)
        except ScorerError as error:
            refused[name] = str(error)
        except Exception as error:  # whatever a shrunken configuration breaks is listed
            unbuilt[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:140]
        finally:
            signal.alarm(0)
    _report(done, refused, unbuilt, time.monotonic() - began)


def _report(done: dict[str, _Outcome], refused: dict[str, str], unbuilt: dict[str, str], seconds: float) -> None:
    write = sys.stdout.write
    for name, outcome in sorted(done.items(), key=lambda item: -item[1].difference):
        write(f"{outcome.difference:.1e}  {outcome.path:9s} {name:45s} {outcome.note}\n")
    for name, why in refused.items():
        write(f"refused   {name}: {why}\n")
    for name, why in unbuilt.items():
        write(f"not built {name}: {why}\n")
    paths = Counter(outcome.path for outcome in done.values())
    worst = max((outcome.difference for outcome in done.values()), default=0.0)
    write(
        f"\n{len(done)} models scored ({', '.join(f'{count} {path}' for path, count in paths.most_common())}),"
        f"\n{len(refused)} refused, {len(unbuilt)} not built, {seconds:.0f} s;"
        f" worst difference {worst:.1e} nat a token\n"
    )


if __name__ == "__main__":
    main()
