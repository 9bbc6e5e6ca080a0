"""The body of `POST /v1/train` and its validation."""

from __future__ import annotations

import msgspec

from memscope.server.errors import bad_request
from memscope.server.options import Anchor, BatchSize, LearningRate, Method, Seed, Steps, TrainOptions

__all__ = ["TrainOverrides", "TrainRequest", "TrainSample"]


class TrainSample(msgspec.Struct):
    """One sample: a context and the continuation to learn."""

    context_ids: list[int]
    continuation_ids: list[int]


class TrainOverrides(msgspec.Struct, forbid_unknown_fields=True):
    """Training options of a request; see `TrainOptions`. Missing ones are taken from the server's options."""

    learning_rate: LearningRate | None = None
    steps: Steps | None = None
    batch_size: BatchSize | None = None
    method: Method | None = None
    anchor: Anchor | None = None
    seed: Seed | None = None

    def merged_with(self, defaults: TrainOptions) -> TrainOptions:
        """Return the defaults with the fields that this request sets."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **given)


class _TrainingData(msgspec.Struct):
    samples: list[TrainSample]


class TrainRequest(msgspec.Struct):
    """`POST /v1/train`."""

    training_data: _TrainingData
    model: str | None = None
    options: TrainOverrides = msgspec.field(default_factory=TrainOverrides)

    def check(self, vocabulary: int, max_tokens: int | None) -> None:
        """Reject invalid samples, naming their index.

        Raises:
            ApiError: There are no samples, or one is empty, too long, or has an id outside the vocabulary (400).
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
