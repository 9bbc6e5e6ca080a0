"""Memory importance, scored incrementally: for long sessions where a full matrix costs too much.

A memory's importance is the sum of the clamped divergences over a window of responses after its first appearance.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from memscope.errors import PromptError, ScorerError, ScorerGoneError
from memscope.prompt.prompt import MemorySpan, Prompt
from memscope.scoring.finetune import Context
from memscope.scoring.rescoring import Cost, Rescorer, WeightsChangedError, check_fits
from memscope.session.nodes import Session
from memscope.session.presence import memory_presence
from memscope.store.memory_weights import MemoryWeight

__all__ = [
    "MAX_AGE_SECONDS",
    "WINDOW_RESPONSES",
    "DueMemories",
    "IncrementalResult",
    "MemoryScore",
    "due_memories",
    "memory_texts",
    "score_incrementally",
    "score_memory",
]

MAX_AGE_SECONDS = 3600.0
WINDOW_RESPONSES = 50
_EARLY_SHARE = 0.6
"""Memories that appear later than this share of the conversation's tokens have too few responses yet."""


@dataclass(frozen=True, slots=True)
class MemoryScore:
    """One memory over its window: clamped divergences in nats, their sum and maximum, and how many responses."""

    key: str
    total: float
    maximum: float
    responses: int


@dataclass(frozen=True, slots=True)
class IncrementalResult:
    """The result of an incremental pass.

    Attributes:
        scored: Scores, oldest memory first.
        failed: Error messages by memory key.
        fresh: Keys of memories skipped because they were scored recently.
        late: Keys of memories skipped because too few responses follow them yet.
    """

    scored: tuple[MemoryScore, ...]
    failed: Mapping[str, str]
    fresh: tuple[str, ...]
    late: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DueMemories:
    """The memories to score now, oldest first, and the keys of those that are skipped, by reason."""

    memories: tuple[MemorySpan, ...]
    fresh: tuple[str, ...]
    late: tuple[str, ...]


async def score_memory(
    prompt: Prompt,
    rescorer: Rescorer,
    cost: Cost,
    memory: MemorySpan,
    *,
    window: int = WINDOW_RESPONSES,
    context: Context = "window",
) -> MemoryScore:
    """Measure one memory over the `window` responses after its first appearance.

    Args:
        prompt: The tokenised session.
        rescorer: Scores the sequences.
        cost: Updated with the cost of the requests.
        memory: One of the prompt's memories.
        window: How many responses; for a memory in the prompt's head they start at the conversation's beginning.
        context: "window" keeps only the conversation from the memory on; "full" also keeps everything before.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The model cannot score this prompt.
    """
    responses = [prompt.responses[index] for index in memory.responses[:window]]
    if not responses:
        return MemoryScore(memory.key, 0.0, 0.0, 0)
    # Without an end: calls may come in another order than their messages, and nothing after a response is scored.
    entries = range(memory.first_entry or 0, sys.maxsize) if context == "window" else None
    wanted = [response.index for response in responses]
    everything = prompt.variants((), responses=wanted, entries=entries)
    check_fits(prompt, rescorer, everything)
    full = await rescorer.score(everything, cost)
    less = await rescorer.score(prompt.variants({memory.key}, responses=wanted, entries=entries), cost)
    divergences = [max(0.0, full[index].total - less[index].total) for index in wanted]
    return MemoryScore(memory.key, sum(divergences), max(divergences), len(wanted))


def due_memories(prompt: Prompt, known: Mapping[str, MemoryWeight], now: float, max_age: float) -> DueMemories:
    """Choose the memories to score now.

    Args:
        prompt: The tokenised session.
        known: Stored weights by memory key.
        now: Unix seconds.
        max_age: Seconds after which a memory is due again; a time in the future, from a wrong clock, counts as due.
    """
    early = [memory for memory in prompt.memories if _has_responses(memory)]
    due = [m for m in early if m.key not in known or not 0 <= now - known[m.key].last_scored < max_age]
    due.sort(key=lambda memory: known[memory.key].last_scored if memory.key in known else 0.0)
    due_keys, early_keys = {memory.key for memory in due}, {memory.key for memory in early}
    return DueMemories(
        memories=tuple(due),
        fresh=tuple(memory.key for memory in early if memory.key not in due_keys),
        late=tuple(memory.key for memory in prompt.memories if memory.key not in early_keys),
    )


def memory_texts(session: Session) -> dict[str, str]:
    """Return a hash of each memory's distinct texts, in order of first appearance, by key."""
    return {key: _hashed(memory.versions) for key, memory in memory_presence(session).items()}


def _hashed(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _has_responses(memory: MemorySpan) -> bool:
    return memory.conversation_share <= _EARLY_SHARE and bool(memory.responses)


async def score_incrementally(
    prompt: Prompt,
    rescorer: Rescorer,
    cost: Cost,
    due: DueMemories,
    on_scored: Callable[[MemoryScore], Awaitable[None]],
    on_failed: Callable[[str, str], None] = lambda _key, _error: None,
    *,
    window: int = WINDOW_RESPONSES,
    context: Context = "window",
) -> IncrementalResult:
    """Score every memory that is due, and report each score as soon as it is available.

    Args:
        prompt: The tokenised session.
        rescorer: Scores the sequences.
        cost: Updated with the cost of the requests.
        due: The memories to score.
        on_scored: Stores a score; awaited before the next memory is scored.
        on_failed: Called with the key of a memory that could not be scored, and the error.
        window: As in `score_memory`.
        context: As in `score_memory`.

    Raises:
        ScorerGoneError: The scorer is gone; scores already reported remain valid.
        WeightsChangedError: The scorer's weights changed; scores already reported belong to the earlier weights.
    """
    scored: list[MemoryScore] = []
    failed: dict[str, str] = {}
    for memory in due.memories:
        try:
            score = await score_memory(prompt, rescorer, cost, memory, window=window, context=context)
        except (ScorerGoneError, WeightsChangedError):
            raise
        except (ScorerError, PromptError) as error:
            failed[memory.key] = str(error)
            on_failed(memory.key, str(error))
        else:
            scored.append(score)
            await on_scored(score)
    return IncrementalResult(tuple(scored), failed, due.fresh, due.late)
