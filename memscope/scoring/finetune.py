"""Which responses lean on memories: every memory stripped at once, and the candidates for training that follow.

The strip-all divergence of a response is f(A, r) - f(none, r), in signed nats.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

import msgspec

from memscope.prompt.prompt import Prompt
from memscope.scoring.grid import Column
from memscope.scoring.rescoring import Rescorer, check_fits

__all__ = ["Candidate", "Context", "Findings", "find_candidates", "recent_responses", "strip_all"]

Context: TypeAlias = Literal["full", "window"]


class Candidate(msgspec.Struct, frozen=True):
    """A response that leans on memories and has not been trained.

    Attributes:
        index: Its index in the matrix.
        entry_index: Its position among the conversation's nodes.
        divergence: Strip-all divergence, signed nats.
        timestamp: RFC 3339 text of the session file.
        text: The response.
    """

    index: int
    entry_index: int
    divergence: float
    timestamp: str
    text: str


class Findings(msgspec.Struct, frozen=True):
    """What a fine-tuning pass found.

    Attributes:
        candidates: By descending divergence.
        responses_seen: Responses that were scored.
        max_divergence: The largest strip-all divergence among them, signed nats; None when none was scored.
        threshold: Nats from which a response is a candidate.
        untimed: Responses at or above the threshold that have no timestamp.
        trained: Responses at or above the threshold that were trained, or may have been.
    """

    candidates: tuple[Candidate, ...]
    responses_seen: int
    max_divergence: float | None
    threshold: float
    untimed: int
    trained: int

    @property
    def why_none(self) -> str | None:
        """Say on one line why there is no candidate; None when there is one."""
        if self.candidates:
            return None
        if self.max_divergence is None:
            return "no candidate: no response was scored"
        line = (
            f"no candidate: {self.responses_seen} responses seen, maximum divergence {self.max_divergence:.2f} nats, "
            f"threshold {self.threshold:g}"
        )
        left_out = [f"{self.trained} trained already"] * bool(self.trained)
        left_out += [f"{self.untimed} without a timestamp"] * bool(self.untimed)
        return f"{line} ({', '.join(left_out)})" if left_out else line


def recent_responses(prompt: Prompt, entries: int, count: int | None) -> tuple[list[int], range | None]:
    """Return the responses among the most recent `count` conversation nodes, and the positions of those nodes.

    Args:
        prompt: The tokenised session.
        entries: How many nodes the conversation has.
        count: None means all of them.
    """
    if count is None or count >= entries:
        return [response.index for response in prompt.responses], None
    window = range(entries - count, entries)
    return [response.index for response in prompt.responses if response.entry_index in window], window


async def strip_all(
    prompt: Prompt,
    rescorer: Rescorer,
    responses: Collection[int],
    *,
    window: range | None = None,
    fresh: bool = False,
) -> dict[int, float]:
    """Return the strip-all divergence of responses, signed nats.

    Args:
        prompt: The tokenised session.
        rescorer: Where scores come from.
        responses: Indices in the matrix.
        window: Keep only these conversation positions as context; None keeps everything before.
        fresh: Ask again even where a score is remembered.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The model cannot score this prompt.
    """
    if not responses:
        return {}
    keys = {memory.key for memory in prompt.memories}
    everything = prompt.variants((), responses=responses, entries=window)
    check_fits(prompt, rescorer, everything)
    full = await rescorer.score(everything, fresh=fresh)
    bare = await rescorer.score(prompt.variants(keys, responses=responses, entries=window), fresh=fresh)
    return {index: full[index].total - bare[index].total for index in responses}


def find_candidates(
    divergences: Mapping[int, float], columns: tuple[Column, ...], marked: Collection[int], threshold: float
) -> Findings:
    """Choose the candidates among scored responses.

    Args:
        divergences: Strip-all divergence by response index, signed nats.
        columns: All responses.
        marked: Indices of responses that were trained, or may have been.
        threshold: Nats; the response at the threshold is taken.
    """
    above = sorted((i for i, d in divergences.items() if d >= threshold), key=lambda i: (-divergences[i], i))
    candidates = []
    for index in above:
        column = columns[index]
        if index not in marked and column.timestamp:
            found = Candidate(index, column.entry_index, divergences[index], column.timestamp, column.text)
            candidates.append(found)
    return Findings(
        candidates=tuple(candidates),
        responses_seen=len(divergences),
        max_divergence=max(divergences.values(), default=None),
        threshold=threshold,
        untimed=sum(1 for index in above if index not in marked and not columns[index].timestamp),
        trained=sum(1 for index in above if index in marked),
    )
