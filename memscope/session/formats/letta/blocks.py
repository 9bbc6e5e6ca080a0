"""Memory blocks of Letta agents as marked parts of the system message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memscope.session.apis.base import Part
from memscope.session.apis.parts import text
from memscope.session.rules.elements import elements

__all__ = ["block_label", "marked_blocks", "rebuilt_system_message"]

_OPENING = "<memory_blocks>\nThe following memory blocks are currently engaged in your core memory unit:\n\n"
_CLOSING = "\n</memory_blocks>"
_INTRODUCTION = "Core memory shown below"
_BREAKS = re.compile(r"\n{0,2}")


def block_label(block: Mapping[str, Any]) -> str:
    """Return the label of a block, which is its memory key."""
    label = block.get("label")
    return label if isinstance(label, str) and label else "block"


def marked_blocks(message: str, labels: Sequence[str]) -> list[Part]:
    """Return a system message as parts, with the element of each block marked as the memory of that label.

    A block is an element named after its label.

    Args:
        message: The text of the message.
        labels: The labels of the agent's blocks.
    """
    parts: list[Part] = []
    at = 0
    for start, end, label in sorted(_spans(message, labels)):
        if start < at:
            continue
        if at < start:
            parts.append(text(message[at:start]))
        parts.append(text(message[start:end], label))
        at = end
    return [*parts, text(message[at:])] if at < len(message) else parts


def rebuilt_system_message(instructions: str, blocks: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Return the parts of the system message that Letta writes for an agent with these blocks.

    Args:
        instructions: The agent's instructions.
        blocks: Its blocks.
    """
    if not blocks:
        return [text(instructions)]
    written = [text(_element(block), block_label(block)) for block in blocks]
    return [text(f"{instructions}\n\n{_OPENING}"), *written, text(_CLOSING)]


def _spans(message: str, labels: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and label of the element of each block that the message has.

    An element begins a line: the instructions may mention its tag within a sentence.
    """
    start, end = _region(message)
    for label in labels:
        opening = re.compile(rf"^<{re.escape(label)}(?:\s[^<>]*)?>", re.MULTILINE).search(message, start, end)
        closing = f"</{label}>"
        if opening and (body_end := message.find(closing, opening.end(), end)) >= 0:
            breaks = _BREAKS.match(message, body_end + len(closing), end)
            yield opening.start(), breaks.end() if breaks else end, label


def _region(message: str) -> tuple[int, int]:
    """Return where the blocks are: in `<memory_blocks>`, or in older files after the line that introduces them."""
    if held := next(elements(message, "memory_blocks"), None):
        return held.body, held.body_end
    introduced = message.rfind(_INTRODUCTION)
    return max(introduced, 0), len(message)


def _element(block: Mapping[str, Any]) -> str:
    label, value = block_label(block), str(block.get("value") or "")
    about = str(block.get("description") or "")
    limit = block.get("limit") or 0
    return (
        f"<{label}>\n<description>\n{about}\n</description>\n"
        f"<metadata>\n- chars_current={len(value)}\n- chars_limit={limit}\n</metadata>\n"
        f"<value>\n{value}\n</value>\n</{label}>\n"
    )
