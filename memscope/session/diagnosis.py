"""What was recognised in a session, for `memscope doctor SESSION`."""

from __future__ import annotations

from typing import Any

from memscope.session.nodes import SECTIONS, Session

__all__ = ["diagnose"]


def diagnose(session: Session) -> dict[str, Any]:
    """Return the format, completeness, nodes per section, and memory keys with the rules that found them."""
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
        "recognised": by_rule,
        "notes": list(source.notes),
    }
