"""GEMINI.md files, which Gemini CLI puts into its system prompt and its session files lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memscope.session.apis import parts
from memscope.session.apis.base import Part
from memscope.session.formats.base import NewDetector
from memscope.session.formats.memory_files import memory_key, text_on_disk

__all__ = ["context_files", "file_parts"]

_NAME = "GEMINI.md"
_ABOVE_CHATS = 3
"""A session file is at `~/.gemini/tmp/<project>/chats/`, this many folders below `~/.gemini`."""


def context_files(project: Path, transcript: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of the files that Gemini CLI reads for a project, the user's own first.

    Args:
        project: The project's folder.
        transcript: The session file.
    """
    above = transcript.resolve().parents
    own = [above[_ABOVE_CHATS] / _NAME] if len(above) > _ABOVE_CHATS else []
    for path in (*own, project / _NAME):
        if (text := text_on_disk(path)) is not None and text.strip():
            yield str(path), text.strip()


def file_parts(path: str, text: str, project: Path, new_detector: NewDetector) -> list[Part]:
    """Return a file as parts of the system message, as Gemini CLI writes it.

    The file is one memory, unless a memory rule finds memories in it, such as those that the model saved.

    Args:
        path: Its path.
        text: Its text.
        project: The project's folder.
        new_detector: Creates the memory detector.
    """
    shown = f"--- Context from: {path} ---\n{text}\n--- End of Context from: {path} ---\n"
    found = new_detector().split(shown)
    if all(key is None for key, _ in found):
        return [parts.text(shown, memory_key(path, str(project)))]
    return [parts.text(piece, key) for key, piece in found]
