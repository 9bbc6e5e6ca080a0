"""The agent's memories, and how it finds those that a question needs."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Note", "Notebook"]

_WORD = re.compile(r"\w+")
_COMMON_WORDS = frozenset(
    "a an and are at by can do does for from have how i in is it me my of on or our the there to was what when where "
    "which who with you".split()
)


@dataclass(frozen=True, slots=True)
class Note:
    """One memory."""

    key: str
    text: str


class Notebook:
    """Notes by key; a note written again replaces the one before."""

    def __init__(self, notes: Iterable[Note]) -> None:
        self._notes = {note.key: note for note in notes}

    def write(self, note: Note) -> None:
        """Add a note, or replace the one with its key."""
        self._notes[note.key] = note

    def search(self, question: str, count: int) -> list[Note]:
        """Return up to `count` notes that share words with a question, the best match first.

        A shared word counts log(1 + notes / notes with this word), so that rare words count most.
        """
        words = {note.key: _words(note.text) for note in self._notes.values()}
        notes_with = Counter(word for found in words.values() for word in found)
        asked = _words(question)
        scores = {
            key: sum(math.log(1 + len(words) / notes_with[word]) for word in found & asked)
            for key, found in words.items()
        }
        matching = sorted((key for key in scores if scores[key] > 0), key=lambda key: -scores[key])
        return [self._notes[key] for key in matching[:count]]


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)} - _COMMON_WORDS
