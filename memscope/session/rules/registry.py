"""All built-in memory rules."""

from __future__ import annotations

from collections.abc import Mapping

from memscope.session.rules import graphiti, langmem, letta, mem0, tags
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
    )
}
"""Every built-in rule by name. Where slices of two rules overlap, the one that stands first here wins."""
