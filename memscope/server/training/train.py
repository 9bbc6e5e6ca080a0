"""Fine-tune a copy of the served model on a few samples, while the original continues to serve.

The loss is the mean cross-entropy of the continuations. An anchor keeps other predictions unchanged: at the other
positions of the same sequences, the Kullback-Leibler divergence from the predictions of the old weights. This needs no
further data; the old predictions cost one forward without gradients before the first step.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import PreTrainedModel

from memscope.server.compute.loading import LoadedModel, training_copy
from memscope.server.options import TrainOptions
from memscope.server.training.request import TrainSample
from memscope.server.training.sequences import TrainingSequence, sequences_of

__all__ = ["fine_tune"]

_LORA_ABOVE = 50_000_000
"""Number of parameters above which an adapter is trained instead of all weights."""

_ACTIVATION_BYTES = 4 << 30
"""Estimated size of activations above which gradient checkpointing is used."""

_RATES = {"full": 3e-4, "lora": 1e-3}


@dataclass(frozen=True)
class _AnchoredSequence:
    """A sequence and the old log-probabilities (anchors, vocabulary) at its anchors; None without anchor."""

    sequence: TrainingSequence
    old: torch.Tensor | None


def fine_tune(
    loaded: LoadedModel,
    samples: Sequence[TrainSample],
    options: TrainOptions,
    on_step: Callable[[int, float], None],
) -> PreTrainedModel:
    """Return a fine-tuned copy of the model; the model itself is unchanged.

    Args:
        loaded: The model in use.
        samples: Validated samples.
        options: Training options.
        on_step: Called after each step with its number and the loss of the continuations, in nats per token. An
            exception from it aborts the training.

    Raises:
        ArithmeticError: The loss is no longer finite.
    """
    model = training_copy(loaded)
    dtype = model.dtype
    sequences = sequences_of(samples, loaded.vocabulary)
    anchored = [
        _AnchoredSequence(sequence, _old_logprobs(model, sequence) if options.anchor else None)
        for sequence in sequences
    ]
    method = options.method or ("lora" if model.num_parameters() > _LORA_ABOVE else "full")
    longest = max(len(sequence.ids) for sequence in sequences)
    checkpointed = _activation_bytes(model, longest) > _ACTIVATION_BYTES and model.supports_gradient_checkpointing
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        trained = _trainable(model, method, checkpointed)
    weights = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=options.learning_rate or _RATES[method], weight_decay=0.0)
    with torch.enable_grad():
        for step, batch in enumerate(_batches(anchored, options), 1):
            loss = _step(trained, batch, options.anchor)
            if not math.isfinite(loss):
                raise ArithmeticError(f"the loss became {loss} at step {step}: try a smaller learning_rate")
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            on_step(step, loss)
    result: PreTrainedModel = trained.merge_and_unload() if method == "lora" else model  # type: ignore[operator]
    if checkpointed:
        with _quiet():
            result.gradient_checkpointing_disable()  # type: ignore[no-untyped-call]
            result.disable_input_require_grads()  # type: ignore[no-untyped-call]
    result.to(dtype=dtype)  # type: ignore[call-arg]
    result.requires_grad_(False).eval()  # type: ignore[no-untyped-call]
    return result


def _trainable(model: PreTrainedModel, method: str, checkpointed: bool) -> torch.nn.Module:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # a handful of samples is learned as it is
    if checkpointed:
        model.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]
        model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    model.train()  # gradient checkpointing works in this mode only
    if method == "lora":
        return _with_adapter(model)
    # In half precision AdamW's steps would be lost in the rounding.
    model.float().requires_grad_(True)  # type: ignore[no-untyped-call]
    return model


def _activation_bytes(model: PreTrainedModel, tokens: int) -> int:
    config = model.config.get_text_config(decoder=True)
    width = 16 * config.hidden_size + 4 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    return int(4 * tokens * config.num_hidden_layers * width)


def _with_adapter(model: PreTrainedModel) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Of names that peft and transformers are renaming: nothing that a user could do anything about.
        warnings.simplefilter("ignore", FutureWarning)
        yield


@torch.no_grad()
def _old_logprobs(model: PreTrainedModel, sequence: TrainingSequence) -> torch.Tensor | None:
    return _logits(model, sequence, sequence.anchors).log_softmax(-1) if len(sequence.anchors) else None


def _logits(model: torch.nn.Module, sequence: TrainingSequence, positions: torch.Tensor) -> torch.Tensor:
    device = next(model.parameters()).device
    output = model(input_ids=sequence.ids[None].to(device), use_cache=False, logits_to_keep=positions.to(device))
    logits: torch.Tensor = output.logits[0]
    return logits.float()


def _batches(sequences: Sequence[_AnchoredSequence], options: TrainOptions) -> Iterator[Sequence[_AnchoredSequence]]:
    size = options.batch_size or len(sequences)
    random = Random(options.seed)
    order: list[_AnchoredSequence] = []
    for _ in range(options.steps):
        while len(order) < size:
            order += random.sample(sequences, len(sequences))
        batch, order = order[:size], order[size:]
        yield batch


def _step(model: torch.nn.Module, batch: Sequence[_AnchoredSequence], anchor: float) -> float:
    """Accumulate the gradients of a batch, one sequence at a time; return its mean loss without the anchor."""
    tokens = sum(len(anchored.sequence.targets) for anchored in batch)
    anchors = sum(len(anchored.sequence.anchors) for anchored in batch)
    total = 0.0
    for anchored in batch:
        sequence, count = anchored.sequence, len(anchored.sequence.targets)
        wanted = sequence.targets if anchored.old is None else torch.cat([sequence.targets, sequence.anchors])
        logits = _logits(model, sequence, wanted)
        learned_ids = sequence.ids[sequence.targets + 1].to(logits.device)
        learned = F.cross_entropy(logits[:count], learned_ids, reduction="sum") / tokens
        loss = learned
        if anchored.old is not None:
            new = logits[count:].log_softmax(-1)
            loss = loss + anchor * F.kl_div(new, anchored.old, reduction="sum", log_target=True) / anchors
        loss.backward()  # type: ignore[no-untyped-call]
        total += learned.item()
    return total
