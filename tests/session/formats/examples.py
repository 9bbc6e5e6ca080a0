"""Example files of the imported formats, named `<format>.<variant>`: written by the programs themselves, or after their
sources where they cannot be run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memscope.session.detectors import Detector
from memscope.session.formats.registry import format_of
from memscope.session.nodes import Branch, Session

__all__ = ["EXAMPLES", "example", "format_name", "read", "turns"]

_FOLDER = Path(__file__).parent / "fixtures"
_NEEDS_ZSTANDARD = "inspect-eval.zstandard.eval"
EXAMPLES = sorted(path.name for path in _FOLDER.iterdir() if path.name != _NEEDS_ZSTANDARD)
"""The names of the files that need nothing but memscope."""


def example(name: str) -> bytes:
    """Return the bytes of an example."""
    return (_FOLDER / name).read_bytes()


def format_name(name: str) -> str:
    """Return the name of an example's format."""
    return name.partition(".")[0]


def read(data: bytes, name: str = "file", pick: str | None = None) -> Session:
    """Read a file with the format that recognises it."""
    found = format_of(data, name)
    if pick is not None:
        assert found.picking is not None
        found = found.picking(pick)
    return found.read(data, name, Detector)


def turns(session: Session) -> list[tuple[Any, ...]]:
    """Return each turn as its role and its leaves, a leaf as the name of its kind and what it says."""
    return [(node.role, *map(_leaf, node.children)) for node in session.nodes if isinstance(node, Branch)]


def _leaf(leaf: Any) -> tuple[str, Any]:
    kind = type(leaf).__name__
    match kind:
        case "Memory":
            return kind, leaf.key
        case "ToolCall":
            return leaf.name, leaf.arguments
        case "Opaque":
            return kind, leaf.kind
    return kind, leaf.text
