"""Gemini CLI session files: append-only JSON Lines of records (`session-*.jsonl`)."""

from __future__ import annotations

from pathlib import Path

from memscope.session.formats.base import FileHead, SessionFormat
from memscope.session.formats.gemini.records import GeminiRecords
from memscope.session.formats.line_messages import lines_format

__all__ = ["FORMAT"]


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"sessionId": str(), "projectHash": str()}:
            return True
    return False


def _format(project: Path | None) -> SessionFormat:
    return lines_format(
        name=_NAME,
        expected="a Gemini CLI session",
        recognises=_recognises,
        converter=lambda name, new_detector: GeminiRecords(name, _NAME, new_detector, project),
        in_project=_format,
    )


_NAME = "gemini-cli"
FORMAT = _format(None)
