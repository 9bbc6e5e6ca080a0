"""Fine-tuning a copy of the served model on a few samples, while the original goes on serving.

The loss is the mean cross-entropy of the continuations. An anchor keeps the rest in place: the Kullback-Leibler
divergence from the old weights' predictions over the samples' own contexts, which needs no further data and costs one
forward without gradients a sample.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import PreTrainedModel

from memscope.server.loading import LoadedModel, training_copy
from memscope.server.train_schemas import TrainOptions, TrainSample

__all__ = ["fine_tuned"]

_LORA_ABOVE = 50_000_000
"""Parameters from which an adapter is trained instead of all weights."""

_CHECKPOINT_ABOVE = 2048
"""Tokens of the longest sample from which activations are computed twice instead of kept."""

_ANCHORED_POSITIONS = 512
"""Positions of a context that the anchor looks at, spread evenly: bounds the memory that logits take."""

_RATES = {"full": 3e-4, "lora": 1e-3}


@dataclass(frozen=True)
class _Lesson:
    ids: torch.Tensor
    start: int
    anchored: torch.Tensor
    old: torch.Tensor | None


def fine_tuned(
    loaded: LoadedModel,
    samples: Sequence[TrainSample],
    options: TrainOptions,
    on_step: Callable[[int, float], None],
) -> PreTrainedModel:
    """Return a copy of the model that has learned the samples; the model itself is untouched.

    Args:
        loaded: The model in use.
        samples: Checked samples.
        options: How to train.
        on_step: Called after each step with its number and the loss of the continuations, in nats a token.

    Raises:
        ArithmeticError: The loss is not finite any more.
    """
    model = training_copy(loaded)
    model.requires_grad_(True)
    model.train(False)  # no dropout: a handful of samples is learned as it is
    method = options.method or ("lora" if model.num_parameters() > _LORA_ABOVE else "full")
    lessons = [_lesson(model, sample, options) for sample in samples]
    longest = max(len(lesson.ids) for lesson in lessons)
    trained: torch.nn.Module = _with_adapter(model) if method == "lora" else model
    if longest > _CHECKPOINT_ABOVE and model.supports_gradient_checkpointing:
        model.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]
        model.enable_input_require_grads()  # type: ignore[no-untyped-call]
    weights = [p for p in trained.parameters() if p.requires_grad]
    rate = options.learning_rate or _RATES[method]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    with torch.enable_grad():
        for step, batch in enumerate(_batches(lessons, options), 1):
            loss = _step(trained, batch, options.anchor)
            if not math.isfinite(loss):
                raise ArithmeticError(f"the loss became {loss} at step {step}: try a smaller learning_rate")
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            on_step(step, loss)
    result: PreTrainedModel = trained.merge_and_unload() if method == "lora" else model  # type: ignore[operator]
    if longest > _CHECKPOINT_ABOVE:
        result.gradient_checkpointing_disable()  # type: ignore[no-untyped-call]
    result.requires_grad_(False)
    result.train(False)
    return result


def _with_adapter(model: PreTrainedModel) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        # Of names that peft and transformers are renaming: nothing that a user could do anything about.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))


def _lesson(model: PreTrainedModel, sample: TrainSample, options: TrainOptions) -> _Lesson:
    ids = torch.tensor(sample.context_ids + sample.continuation_ids, device=model.device)
    start = len(sample.context_ids)
    count = min(start - 1, _ANCHORED_POSITIONS)
    anchored = torch.linspace(0, start - 2, count, device=model.device).round().long() if count > 0 else ids[:0]
    old = None
    if options.anchor and count > 0:
        with torch.no_grad():
            logits = model(ids[None, : start - 1], use_cache=False, logits_to_keep=anchored).logits[0]
            old = logits.float().log_softmax(-1)
    return _Lesson(ids, start, anchored, old)


def _batches(lessons: Sequence[_Lesson], options: TrainOptions) -> Iterator[Sequence[_Lesson]]:
    size = options.batch_size or len(lessons)
    random = Random(options.seed)
    order: list[_Lesson] = []
    for _ in range(options.steps):
        while len(order) < size:
            order += random.sample(lessons, len(lessons))
        batch, order = order[:size], order[size:]
        yield batch


def _step(model: torch.nn.Module, batch: Sequence[_Lesson], anchor: float) -> float:
    """Add the batch's gradients up, one sample at a time; return its mean loss without the anchor."""
    tokens = sum(len(lesson.ids) - lesson.start for lesson in batch)
    total = 0.0
    for lesson in batch:
        said = torch.arange(lesson.start - 1, len(lesson.ids) - 1, device=lesson.ids.device)
        wanted = torch.cat([lesson.anchored, said]) if lesson.old is not None else said
        logits = model(input_ids=lesson.ids[None], use_cache=False, logits_to_keep=wanted).logits[0].float()
        learned = F.cross_entropy(logits[-len(said) :], lesson.ids[lesson.start :], reduction="sum") / tokens
        loss = learned
        if lesson.old is not None:
            new = logits[: len(lesson.anchored)].log_softmax(-1)
            kept = F.kl_div(new, lesson.old, reduction="batchmean", log_target=True)
            loss = loss + anchor * kept / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total += learned.item()
    return total
