"""The body of `POST /v1/train`, its checks, and its defaults."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from memscope.server.http_errors import bad_request

__all__ = ["TrainOptions", "TrainRequest", "TrainSample"]


class TrainSample(msgspec.Struct):
    """One lesson: what comes before, and what is to be said then."""

    context_ids: list[int]
    continuation_ids: list[int]


class TrainOptions(msgspec.Struct, forbid_unknown_fields=True):
    """How to train.

    Attributes:
        learning_rate: AdamW's; None takes 3e-4 for all weights and 1e-3 for LoRA.
        steps: Optimizer steps.
        batch_size: Sequences a step; 0 takes all of them. Samples that continue each other are one sequence.
        method: "full" changes all weights, "lora" an adapter that is merged at the end; None chooses by size.
        anchor: Weight of the divergence from the old weights on the samples' own contexts, which keeps what else the
            model says in place; 0 turns it off.
        seed: Of the order of samples and of the adapter's first weights.
    """

    learning_rate: Annotated[float, Meta(gt=0, le=1)] | None = None
    steps: Annotated[int, Meta(ge=1, le=10_000)] = 20
    batch_size: Annotated[int, Meta(ge=0)] = 0
    method: Literal["full", "lora"] | None = None
    anchor: Annotated[float, Meta(ge=0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class _TrainingData(msgspec.Struct):
    samples: list[TrainSample]


class TrainRequest(msgspec.Struct):
    """`POST /v1/train`."""

    training_data: _TrainingData
    model: str | None = None
    options: TrainOptions = msgspec.field(default_factory=TrainOptions)

    def check(self, vocabulary: int, max_tokens: int | None) -> None:
        """Refuse samples that cannot be learned, by their index.

        Raises:
            ApiError: None at all, an empty one, one past the context, or an id outside the vocabulary (400).
        """
        if not self.training_data.samples:
            raise bad_request("there are no samples", "training_data")
        for number, sample in enumerate(self.training_data.samples):
            ids = sample.context_ids + sample.continuation_ids
            where = f"samples[{number}]"
            if not sample.continuation_ids:
                raise bad_request(f"{where}: the continuation is empty", "training_data")
            if not sample.context_ids:
                raise bad_request(f"{where}: the context is empty", "training_data")
            if max_tokens is not None and len(ids) > max_tokens:
                raise bad_request(
                    f"{where}: {len(ids)} tokens, the model's maximum context length is {max_tokens}", "training_data"
                )
            if min(ids) < 0 or max(ids) >= vocabulary:
                raise bad_request(f"{where}: a token id is outside the vocabulary", "training_data")
