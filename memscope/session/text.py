"""The text of a leaf, as ChatML models read it and as the screen shows it."""

from __future__ import annotations

import json

from memscope.session.nodes import Leaf, Log, Thinking, ToolCall

__all__ = ["leaf_text"]


def leaf_text(leaf: Leaf) -> str:
    """Return what the model reads of a leaf; nothing for a log."""
    match leaf:
        case Thinking():
            return f"<think>\n{leaf.text}\n</think>\n"
        case ToolCall():
            call = {"name": leaf.name, "arguments": leaf.arguments}
            return f"<tool_call>\n{json.dumps(call, ensure_ascii=False, separators=(',', ':'))}\n</tool_call>\n"
        case Log():
            return ""
        case _:
            return leaf.text
