"""All built-in memory rules."""

from __future__ import annotations

from collections.abc import Mapping

from memscope.session.rules import (
    agent_files,
    chatgpt,
    graphiti,
    langmem,
    letta,
    markdown,
    mem0,
    paragraphs,
    search_results,
    tags,
    unkeyed,
)
from memscope.session.rules.base import MemoryRule

__all__ = ["RULES"]

RULES: Mapping[str, MemoryRule] = {
    rule.name: rule
    for rule in (
        tags.RULE,
        mem0.RULE,
        letta.RULE,
        graphiti.RULE,
        langmem.RULE,
        chatgpt.RULE,
        agent_files.RULE,
        unkeyed.RULE,
        markdown.RULE,
        paragraphs.RULE,
        search_results.RULE,
    )
}
"""The built-in rules by name. If slices of two rules overlap, the rule listed first wins, so general ones come last."""
