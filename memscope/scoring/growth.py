"""What of a session's scores still holds after the session was replaced by a longer one."""

from __future__ import annotations

import hashlib

from memscope.prompt.prompt import Prompt
from memscope.scoring.layout import Layout

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


def _contents(prompt: Prompt, layout: Layout) -> dict[str, bytes]:
    """Return by response id what its scores rest on, as a hash: all ids up to its end, and whose memory each is."""
    contents: dict[str, bytes] = {}
    for one in prompt.sequences:
        running = hashlib.blake2b(digest_size=16)
        for span in one.spans:
            running.update(repr((span.memory, span.response is not None, len(span.ids))).encode())
            running.update(memoryview(span.ids).cast("B"))
            if span.response is not None:
                contents[layout.columns[span.response].id] = running.digest()
    return contents
