"""What is sent to training: for each response, the ids before it and its own.

Two lessons are possible. *Without* memories in the context the model learns to say the same without being told: it
internalises them. *With* them it learns to use them.
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
    "without": "the model learns to say this without being told",
    "with": "the model learns to make use of what it is told",
}
"""What training with each context does, on one line."""


class TrainingSample(msgspec.Struct, frozen=True):
    """One response to learn: its index in the prompt, the ids before it, and its own ids."""

    index: int
    context: array[int]
    continuation: array[int]

    @property
    def tokens(self) -> int:
        """How long the sample is."""
        return len(self.context) + len(self.continuation)


class Review(msgspec.Struct, frozen=True):
    """What is about to be sent.

    Attributes:
        responses: Ids.
        samples: What leaves, one a response.
        address: Whom it goes to.
        loopback: The address is on this machine.
        known: The user has agreed to this address before.
        context: Whether memories stay in the context.
        effect: What training with that context does, on one line.
        example: The first sample in full, as text: its context, and what is learned.
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
        """Tokens in all."""
        return sum(sample.tokens for sample in self.samples)


def build_samples(
    prompt: Prompt, responses: Sequence[int], context: TrainingContext, max_tokens: int | None
) -> list[TrainingSample]:
    """Return the samples of some responses.

    Args:
        prompt: The tokenised session.
        responses: Indices in the prompt.
        context: Whether memories stay in the context.
        max_tokens: Longest sequence the model takes; None when it is not known.

    Raises:
        TrainingError: There is no such response, it is empty, or it is too long; nothing may be sent then.
    """
    without = () if context == "with" else {memory.key for memory in prompt.memories}
    samples = []
    for index in responses:
        if not 0 <= index < len(prompt.responses):
            raise TrainingError(f"there is no response {index}: the session has {len(prompt.responses)}")
        sample = TrainingSample(index, prompt.context_ids(index, without), prompt.continuation_ids(index))
        if not sample.continuation:
            raise TrainingError(f"response {index} is empty: there is nothing to learn from it")
        if max_tokens is not None and sample.tokens > max_tokens:
            raise TrainingError(
                f"response {index} with its context has {sample.tokens} tokens, the model takes {max_tokens}"
            )
        samples.append(sample)
    return samples


def training_data(
    samples: Sequence[TrainingSample], model: str, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of a training request for a model; `options` tell memscope's own scorer how to train."""
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
