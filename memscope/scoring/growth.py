"""What of a session's scores still holds after the session was replaced by a longer one."""

from __future__ import annotations

from memscope.prompt.prompt import Prompt
from memscope.scoring.layout import Layout
from memscope.store.scores import score_keys

__all__ = ["changed_responses"]


def changed_responses(before: Prompt, old: Layout, after: Prompt, new: Layout) -> set[str]:
    """Return the ids of responses that are in both versions but read differently, so that their scores do not hold.

    Appending to the conversation changes none; a memory that is appended to the prompt's head changes all.

    Args:
        before: The session as it was, tokenised.
        old: Its layout.
        after: The session as it is.
        new: Its layout.
    """
    contents = _contents(after, new)
    return {id_ for id_, content in _contents(before, old).items() if contents.get(id_, content) != content}


def _contents(prompt: Prompt, layout: Layout) -> dict[str, tuple[bytes, ...]]:
    """Return by response id what its scores rest on: all ids up to its end, with and without memories, as hashes."""
    contents: dict[str, tuple[bytes, ...]] = {}
    for without in ((), layout.keys):
        for variant in prompt.variants(without):
            for owner, key in zip(variant.owners, score_keys("", variant.ids, variant.ranges), strict=True):
                id_ = layout.columns[owner].id
                contents[id_] = (*contents.get(id_, ()), key)
    return contents
