"""Split texts into words, for scripts with and without spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

__all__ = ["clusters", "words_of"]

_MARKS = frozenset({"Mn", "Mc", "Me"})
_JOINER = "\u200d"
_INSIDE_WORDS = frozenset("'’-\u200c")
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # CJK radicals and punctuation, kana, bopomofo
    (0x31A0, 0x9FFF),  # CJK ideographs and their extensions
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),  # halfwidth kana
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces, in which each character counts as a word. Korean has spaces, so it is not included."""


def words_of(text: str) -> list[str]:
    """Split a text into words, whitespace, and single other characters; joined they are the text.

    Combining marks, emoji sequences and flags are not split; each character of a script without spaces is a word.
    """
    starts = list(_boundaries(text))
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def _boundaries(text: str) -> Iterator[int]:
    start = 0
    for number in range(len(text)):
        if not number or not _continues(text, start, number):
            start = number
            yield number


def clusters(word: str) -> Iterator[str]:
    """Yield the grapheme clusters of a word: each character with its combining marks and joined symbols."""
    starts = [n for n in range(len(word)) if not n or not (_extends(word[n]) or word[n - 1] == _JOINER)]
    return (word[start:end] for start, end in pairwise([*starts, len(word)]))


def _continues(text: str, start: int, number: int) -> bool:
    """Return whether the character at `number` continues the word that began at `start`."""
    first, last, character = text[start], text[number - 1], text[number]
    if character.isspace() or last.isspace():
        return character.isspace() and last.isspace()
    if last == _JOINER or _extends(character):
        return True
    if _is_flag_half(character):
        return number - start == 1 and _is_flag_half(first)
    if not _is_letter(first):
        return False
    if character in _INSIDE_WORDS:
        return _is_letter(text[number + 1 : number + 2])
    return _is_letter(character)


def _is_letter(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _spaceless(character)


def _extends(character: str) -> bool:
    code = ord(character)
    if code < 0x300:
        return False
    emoji_part = 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F
    return character == _JOINER or emoji_part or unicodedata.category(character) in _MARKS


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _spaceless(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _SPACELESS)
