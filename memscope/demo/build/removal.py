"""Remove memories from sessions and rewrite the answers to those of an agent without them.

This teaches the model to say that it does not know.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from memscope.demo.build.generator import Block, Shape, make_session

__all__ = ["remove_memories", "training_session"]

_ALL_REMOVED_SHARE = 0.12
_SOME_REMOVED_SHARE = 0.12
"""Shares of the training sessions in which all memories, or some at random, are removed."""


def remove_memories(blocks: list[Block], removed: set[str]) -> list[Block]:
    """Return a session without some memories, its answers rewritten to what an agent without them says."""
    return [_rewritten(block, removed) for block in blocks if not (block.role == "memory" and block.key in removed)]


def _rewritten(block: Block, removed: set[str]) -> Block:
    lost = [key in removed for key in block.needs]
    if not any(lost):
        return block
    if len(block.parts) == 1:
        return replace(block, text=block.parts[0][1], kind="dropped", values=(), needs=(), parts=())
    text = " ".join(bare if missing else said for missing, (said, bare) in zip(lost, block.parts, strict=True))
    kept = [n for n, missing in enumerate(lost) if not missing]
    return replace(
        block,
        text=text,
        kind="dropped",
        values=tuple(block.values[n] for n in kept),
        needs=tuple(block.needs[n] for n in kept),
        parts=tuple(block.parts[n] for n in kept),
    )


def training_session(random: Random, shape: Shape, forget: float, *, together: bool = False) -> list[Block]:
    """Return a session in which all, some or just the needed memories may be removed.

    Args:
        random: The source of randomness.
        shape: How large the session is.
        forget: Share of the sessions in which one or two of the needed memories are removed.
        together: Remove all memories that one or two answers need.
    """
    blocks = make_session(random, shape)
    draw = random.random()
    keys = [block.key for block in blocks if block.role == "memory"]
    needed = sorted({key for block in blocks for key in block.needs if not block.again})
    if draw < _ALL_REMOVED_SHARE:
        return remove_memories(blocks, set(keys))
    if draw < _ALL_REMOVED_SHARE + forget and needed:
        return remove_memories(blocks, _some_needed(random, blocks, needed, together=together))
    if draw < _ALL_REMOVED_SHARE + forget + _SOME_REMOVED_SHARE:
        share = random.choice([0.15, 0.3, 0.6])
        return remove_memories(blocks, {key for key in keys if random.random() < share})
    return blocks


def _some_needed(random: Random, blocks: list[Block], needed: list[str], *, together: bool) -> set[str]:
    if not together:
        return set(random.sample(needed, min(len(needed), random.choice([1, 1, 2]))))
    answers = [block.needs for block in blocks if block.needs and not block.again]
    # Answers that need two memories are rare, so they are chosen more often.
    weights = [3 if len(needs) > 1 else 1 for needs in answers]
    return {key for needs in random.choices(answers, weights, k=random.choice([1, 1, 2])) for key in needs}
