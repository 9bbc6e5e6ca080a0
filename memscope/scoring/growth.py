"""Which scores are still valid after a session was replaced by a longer version."""

from __future__ import annotations

import hashlib

from memscope.prompt.prompt import Prompt
from memscope.scoring.layout import Layout

__all__ = ["changed_responses"]


def changed_responses(before: Prompt, old: Layout, after: Prompt, new: Layout) -> set[str]:
    """Return the ids of responses whose text or context changed, or that are gone, so that their scores are invalid.

    Appending to the conversation changes none; adding a memory to the prompt's head changes all. A response that is
    gone may come back later, after a different context.

    Args:
        before: The tokenised old version.
        old: Its layout.
        after: The tokenised new version.
        new: Its layout.
    """
    contents = _contents(after, new)
    return {id_ for id_, content in _contents(before, old).items() if contents.get(id_) != content}


def _contents(prompt: Prompt, layout: Layout) -> dict[str, bytes]:
    """Return by response id a hash of what its scores depend on: all ids up to its end, and their memory keys."""
    contents: dict[str, bytes] = {}
    for one in prompt.sequences:
        running = hashlib.blake2b(digest_size=16)
        for span in one.spans:
            running.update(repr((span.memory, span.response is not None, len(span.ids))).encode())
            running.update(memoryview(span.ids).cast("B"))
            if span.response is not None:
                contents[layout.columns[span.response].id] = running.digest()
    return contents
