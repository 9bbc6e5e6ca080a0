"""Older Gemini CLI files, each one JSON document: `session-*.json`, and the user's inputs in `logs.json`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.document import document_format
from memscope.session.formats.gemini.records import GeminiRecords
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session

__all__ = ["FORMAT", "read_gemini_document"]


def read_gemini_document(
    document: Any, name: str, new_detector: NewDetector, *, project: Path | None = None
) -> Session:
    """Convert a decoded document.

    Args:
        document: A session record, or the list of entries of `logs.json`.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.
        project: The project's folder, to read GEMINI.md files from.

    Raises:
        SessionError: A message is invalid; the error names it and the field.
    """
    if isinstance(document, list):
        return _read_logs(document, name, new_detector)
    records = GeminiRecords(name, FORMAT.name, new_detector, project)
    records.take(document, name)
    return records.session()


def _read_logs(entries: list[Any], name: str, new_detector: NewDetector) -> Session:
    transcript = Transcript(name, FORMAT.name, new_detector)
    transcript.builder.note("logs.json holds only what the user typed: the answers are in chats/session-*.json*")
    for number, entry in enumerate(entries):
        match entry:
            case {"type": "user", "message": str(said)}:
                content = [{"type": "text", "text": said}]
                transcript.add({"role": "user", "content": content}, f"{name}: entry {number}")
            case _:
                transcript.builder.skip("unknown row")
    return transcript.session(whole=False)


def _recognises(head: FileHead) -> bool:
    if head.first is not None and isinstance(head.first, dict):
        return False
    match head.value:
        case {"sessionId": str(), "projectHash": str(), "messages": list()}:
            return True
        case [{"sessionId": str(), "messageId": int(), "message": str()}, *_]:
            return True
    return False


def _format(project: Path | None) -> SessionFormat:
    return document_format(
        name="gemini-document",
        expected="an older Gemini CLI session",
        recognises=_recognises,
        read=partial(read_gemini_document, project=project),
        in_project=_format,
    )


FORMAT = _format(None)
