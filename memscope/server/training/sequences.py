"""Merge samples into sequences, so that each token is forwarded only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memscope.server.training.request import TrainSample

__all__ = ["TrainingSequence", "sequences_of"]

_ANCHOR_BYTES = 64 << 20
"""Maximum size of the old log-probabilities kept for the anchor of one sequence, in bytes."""
_ANCHOR_BYTES_ALL = 512 << 20
"""Maximum size for all sequences together, in bytes."""


@dataclass(frozen=True)
class TrainingSequence:
    """One sequence to forward.

    Attributes:
        ids: (tokens,), ending with the last token to learn.
        targets: Output positions whose next token is to be learned, ascending.
        anchors: Output positions at which predictions should not change, ascending; disjoint from `targets`.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    anchors: torch.Tensor


def sequences_of(samples: Sequence[TrainSample], vocabulary: int) -> list[TrainingSequence]:
    """Turn samples into sequences.

    Samples of one session continue each other: a sample that is the beginning of a longer one is learned within that
    one's forward. For the same reason its tokens are not anchored there, which would undo what is learned.

    Args:
        samples: At least one, each with a context and a continuation.
        vocabulary: Bounds how many positions can be anchored in memory; where there are more, they are spread evenly.
    """
    targets: dict[tuple[int, ...], set[int]] = {}
    for sample in sorted(samples, key=lambda sample: -_length(sample)):
        ids = tuple(sample.context_ids + sample.continuation_ids)
        holder = next((longer for longer in targets if longer[: len(ids)] == ids), ids)
        targets.setdefault(holder, set()).update(range(len(sample.context_ids) - 1, len(ids) - 1))
    limit = max(1, min(_ANCHOR_BYTES, _ANCHOR_BYTES_ALL // len(targets)) // (4 * vocabulary))
    return [_sequence(ids, learned, limit) for ids, learned in targets.items()]


def _length(sample: TrainSample) -> int:
    return len(sample.context_ids) + len(sample.continuation_ids)


def _sequence(ids: tuple[int, ...], learned: set[int], limit: int) -> TrainingSequence:
    others = torch.tensor(sorted(set(range(len(ids) - 1)) - learned), dtype=torch.long)
    if len(others) > limit:
        others = others[torch.linspace(0, len(others) - 1, limit).round().long()]
    return TrainingSequence(torch.tensor(ids), torch.tensor(sorted(learned)), others)
