"""Training samples: for each response, the ids before it and its own ids.

*Without* memories in the context the model learns to give the same response without being told: it internalises them.
*With* memories it learns to use them.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from memscope.errors import TrainingError
from memscope.prompt.prompt import Prompt

__all__ = ["CONTEXT_EFFECTS", "Review", "TrainingContext", "TrainingSample", "build_samples", "training_data"]

TrainingContext: TypeAlias = Literal["with", "without"]

CONTEXT_EFFECTS: dict[TrainingContext, str] = {
    "without": "the model learns to respond like this without being told",
    "with": "the model learns to use what it is told",
}
"""What training with each context does, on one line."""


class TrainingSample(msgspec.Struct, frozen=True):
    """A response to train on: its index in the prompt, the ids before it, and its own ids."""

    index: int
    context: array[int]
    continuation: array[int]

    @property
    def tokens(self) -> int:
        """Length of the sample in tokens."""
        return len(self.context) + len(self.continuation)


class Review(msgspec.Struct, frozen=True):
    """A preview of what will be sent.

    Attributes:
        responses: Response ids.
        samples: The samples, one per response.
        address: The URL they are sent to.
        loopback: Whether the address is on this machine.
        known: Whether the user has agreed to this address before.
        context: Whether memories stay in the context.
        effect: What training with this context does, on one line.
        example: The first sample as text: its context and its continuation.
    """

    responses: tuple[str, ...]
    samples: tuple[TrainingSample, ...]
    address: str
    loopback: bool
    known: bool
    context: TrainingContext
    effect: str
    example: tuple[str, str]

    @property
    def tokens(self) -> int:
        """Total tokens."""
        return sum(sample.tokens for sample in self.samples)


def build_samples(
    prompt: Prompt, responses: Sequence[int], context: TrainingContext, max_tokens: int | None
) -> list[TrainingSample]:
    """Build the samples of some responses.

    Args:
        prompt: The tokenised session.
        responses: Indices of the responses in the prompt.
        context: Whether memories stay in the context.
        max_tokens: Longest sequence the model accepts; None if unknown.

    Raises:
        TrainingError: A response does not exist, is empty, or is too long.
    """
    without = () if context == "with" else {memory.key for memory in prompt.memories}
    samples = []
    for index in responses:
        if not 0 <= index < len(prompt.responses):
            raise TrainingError(f"there is no response {index}: the session has {len(prompt.responses)}")
        sample = TrainingSample(index, prompt.context_ids(index, without), prompt.continuation_ids(index))
        if not sample.continuation:
            raise TrainingError(f"response {index} is empty: it cannot be trained on")
        if max_tokens is not None and sample.tokens > max_tokens:
            raise TrainingError(
                f"response {index} with its context has {sample.tokens} tokens, the model accepts {max_tokens}"
            )
        samples.append(sample)
    return samples


def training_data(
    samples: Sequence[TrainingSample], model: str, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of a training request; `options` are training options for memscope's own scorer."""
    return {
        **({"options": dict(options)} if options else {}),
        "model": model,
        "training_data": {
            "samples": [
                {"context_ids": list(sample.context), "continuation_ids": list(sample.continuation)}
                for sample in samples
            ]
        },
    }
