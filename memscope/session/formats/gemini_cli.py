"""Gemini CLI session files: append-only JSON Lines of records (`session-*.jsonl`)."""

from __future__ import annotations

from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.gemini_records import GeminiRecords
from memscope.session.formats.line_messages import lines_format

__all__ = ["FORMAT"]


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"sessionId": str(), "projectHash": str()}:
            return True
    return False


def _converter(name: str, new_detector: NewDetector) -> GeminiRecords:
    return GeminiRecords(name, FORMAT.name, new_detector)


FORMAT = lines_format(
    name="gemini-cli",
    expected="a Gemini CLI session",
    recognises=_recognises,
    converter=_converter,
)
