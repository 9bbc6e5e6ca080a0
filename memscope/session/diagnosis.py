"""What was recognised in a session, for `memscope doctor SESSION`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memscope.session.nodes import SECTIONS, Branch, Memory, Session

__all__ = ["diagnose"]


def diagnose(session: Session) -> dict[str, Any]:
    """Return the format, completeness, nodes per section, and every memory with the rule that found it."""
    source = session.source
    keys = session.memory_keys()
    by_rule = {rule: list(found) for rule, found in source.rules.items()}
    if source.format == "native":
        by_rule = {"native": list(keys)} if keys else {}
    return {
        "path": source.path,
        "format": source.format,
        "context": source.context,
        "id": session.header.id,
        "title": session.header.title,
        "answered by": session.header.model or "unknown",
        "nodes": {name: len(session.section(name)) for name in SECTIONS},
        "memories": len(keys),
        "searched by": list(source.searched),
        "recognised": by_rule,
        "matches": list(_matches(session, by_rule)),
        "notes": list(source.notes),
    }


def _matches(session: Session, by_rule: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield every appearance of a memory: its rule and key, the position of its node, and its text."""
    rules: dict[str, str] = {}
    for rule, keys in by_rule.items():
        for key in keys:
            rules.setdefault(key, rule)
    for position, node in enumerate(session.nodes):
        for leaf in node.children if isinstance(node, Branch) else (node,):
            if isinstance(leaf, Memory):
                yield {"rule": rules.get(leaf.key, ""), "key": leaf.key, "node": position, "text": leaf.text}
