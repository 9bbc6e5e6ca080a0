"""How much single memories matter, a little at a time: for long sessions where a full matrix is too much.

A memory's importance is the sum of the clamped divergences over a window of responses after its first appearance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memscope.errors import PromptError, ScorerError, ScorerGoneError
from memscope.prompt.prompt import MemorySpan, Prompt
from memscope.scoring.finetune import Context
from memscope.scoring.rescoring import Rescorer, check_fits
from memscope.store.weights import MemoryWeight

__all__ = [
    "MAX_AGE_SECONDS",
    "WINDOW_RESPONSES",
    "Due",
    "Incremental",
    "MemoryScore",
    "due_memories",
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
class Incremental:
    """What an incremental pass did.

    Attributes:
        scored: Oldest first.
        failed: Errors by memory key.
        fresh: Keys of memories left alone because they were scored a short while ago.
        late: Keys of memories left alone because they have too few responses yet.
    """

    scored: tuple[MemoryScore, ...]
    failed: Mapping[str, str]
    fresh: tuple[str, ...]
    late: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """Which memories are to be scored now, oldest first, and the keys of those that are not, with the reason."""

    memories: tuple[MemorySpan, ...]
    fresh: tuple[str, ...]
    late: tuple[str, ...]


async def score_memory(
    prompt: Prompt,
    rescorer: Rescorer,
    memory: MemorySpan,
    *,
    window: int = WINDOW_RESPONSES,
    context: Context = "window",
) -> MemoryScore:
    """Measure one memory over the `window` responses after its first appearance.

    Args:
        prompt: The tokenised session.
        rescorer: Where scores come from.
        memory: One of the prompt's memories.
        window: How many responses, from the conversation's start for a memory of the prompt's head.
        context: "window" keeps, of the conversation, only what lies between the memory and the last of those
            responses; "full" keeps everything before too.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The model cannot score this prompt.
    """
    responses = [r for r in prompt.responses if r.index >= memory.first_response][:window]
    if not responses:
        return MemoryScore(memory.key, 0.0, 0.0, 0)
    entries = None
    if context == "window":
        entries = range(memory.first_entry or 0, responses[-1].entry_index + 1)
    wanted = [response.index for response in responses]
    everything = prompt.variants((), responses=wanted, entries=entries)
    check_fits(prompt, rescorer, everything)
    full = await rescorer.score(everything)
    less = await rescorer.score(prompt.variants({memory.key}, responses=wanted, entries=entries))
    divergences = [max(0.0, full[index].total - less[index].total) for index in wanted]
    return MemoryScore(memory.key, sum(divergences), max(divergences), len(wanted))


def due_memories(prompt: Prompt, known: Mapping[str, MemoryWeight], now: float, max_age: float) -> Due:
    """Choose the memories to score now.

    Args:
        prompt: The tokenised session.
        known: What is remembered of memories, by key.
        now: Unix seconds.
        max_age: Seconds after which a memory is due again; one scored in the future, by a clock that was wrong, is too.
    """
    early = [memory for memory in prompt.memories if _has_responses(prompt, memory)]
    due = [m for m in early if m.key not in known or not 0 <= now - known[m.key].last_scored < max_age]
    due.sort(key=lambda memory: known[memory.key].last_scored if memory.key in known else 0.0)
    due_keys, early_keys = {memory.key for memory in due}, {memory.key for memory in early}
    return Due(
        memories=tuple(due),
        fresh=tuple(memory.key for memory in early if memory.key not in due_keys),
        late=tuple(memory.key for memory in prompt.memories if memory.key not in early_keys),
    )


def _has_responses(prompt: Prompt, memory: MemorySpan) -> bool:
    return memory.conversation_share <= _EARLY_SHARE and memory.first_response < len(prompt.responses)


async def score_incrementally(
    prompt: Prompt,
    rescorer: Rescorer,
    known: Mapping[str, MemoryWeight],
    now: float,
    on_scored: Callable[[MemoryScore], None],
    *,
    max_age: float = MAX_AGE_SECONDS,
    window: int = WINDOW_RESPONSES,
    context: Context = "window",
    on_failed: Callable[[str, str], None] | None = None,
) -> Incremental:
    """Score every memory that is due; each is handed over as soon as it is known.

    Raises:
        ScorerGoneError: The scorer is gone; what was handed over stays.
    """
    due = due_memories(prompt, known, now, max_age)
    scored: list[MemoryScore] = []
    failed: dict[str, str] = {}
    for memory in due.memories:
        try:
            score = await score_memory(prompt, rescorer, memory, window=window, context=context)
        except ScorerGoneError:
            raise
        except (ScorerError, PromptError) as error:
            failed[memory.key] = str(error)
            if on_failed is not None:
                on_failed(memory.key, str(error))
        else:
            scored.append(score)
            on_scored(score)
    return Incremental(tuple(scored), failed, due.fresh, due.late)
