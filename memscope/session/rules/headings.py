"""Which headings and labels introduce memories.

Prompts name their parts in several ways: `## Memories`, `**Memories**`, `Memories:`, `<memories>`. A heading about
*using* memories ("Memory rules", "How to write notes") introduces instructions, and so does one that says what to do.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from memscope.session.rules.lists import Line, starts_item

__all__ = ["Heading", "Level", "heading_of", "is_instruction"]

_LONGEST = 200
_HASHES = re.compile(r"[ \t]{0,12}(?P<hashes>#{1,6})[ \t]+(?P<title>\S.*)")
_BOLD = re.compile(r"[ \t]{0,12}(?P<mark>\*\*|__)(?P<title>[^*_\n]+)(?P=mark)(?P<colon>:?)\Z")
_TAG = re.compile(r"[ \t]{0,12}<(?P<title>[A-Za-z][\w.-]*)>\Z")
_SENTENCE_END = re.compile(r"[.!?] ")
_ASIDE = re.compile(r"\([^()]*\)")

_ALWAYS = re.compile(
    r"\b(?:memory(?:\Z| (?:contents?|data|entries|items|records|snippets)\b)|memories|facts|preferences|remembered|"
    r"(?:you|i) (?:already )?(?:know|remember)|"
    r"about (?:me|(?:the |this |your )?(?:user|customer|person|human)))\b"
)
_SOMETIMES = re.compile(r"\b(?:notes|context)\b")
_INSTRUCTIONS = re.compile(
    r"\b(?:rules?|instructions?|guidelines?|guidance|how|when|tools?|usage|steps?|tasks?|todos?|to-dos?|formats?|"
    r"polic(?:y|ies)|examples?|commands?|windows?|limits?|requirements?|constraints?|important|release notes|"
    r"never|must|appl(?:y|ies)|references|"
    r"management|managing|manages?|maintains?|tracks?|stores?|saves?|extracts?|retains?|identify|identifies|"
    r"includ(?:e|es|ing)|types?|protocols?|practices|structures?|scopes?|operations?|capabilit(?:y|ies)|responsibilit(?:y|ies)|process|patterns?)\b|"
    r"^(?:do|don't|now|please|always|never|if|to|answer|respond|reply|follow|remember|you must|you should|write|update|"
    r"ask|check|search|read|add|create|delete|provide|maintain)\b"
)


_FIRST_WORDS = re.compile(
    r"[\W_]*(?:always|never|do|don't|not|when|whenever|if|unless|use|be|avoid|keep|create|update|remember|suggest|build|"
    r"track|tell|ask|make|ensure|include|provide|only|default|before|after|write|respond|reply|answer|prefer|follow|"
    r"check|add|remove|treat|try|run|read|call|consider|example|apologize|note|please|must|should|organize|start|stop|"
    r"focus|give|say|mention|explain|set|see)\b",
    re.IGNORECASE,
)


def is_instruction(item: str) -> bool:
    """Return whether a list item begins as an instruction does: "Use …", "Never …", "When …"."""
    return _FIRST_WORDS.match(item) is not None


class Level(IntEnum):
    """How far a heading reaches: 1 to 6 are `#` to `######`."""

    BOLD = 7
    LABEL = 8


class Heading(NamedTuple):
    """A line that names what follows.

    Attributes:
        level: Its level; a section ends at the next heading of the same or a higher one.
        title: Its text; the last sentence of a line that ends with a colon.
    """

    level: int
    title: str

    @property
    def says_memories(self) -> bool:
        """Whether the list after it is made of memories."""
        words = self._words
        return bool(_ALWAYS.search(words) or _SOMETIMES.search(words)) and not self.says_instructions

    @property
    def is_certain(self) -> bool:
        """Whether it says so without doubt; "notes" and "context" are too general."""
        return bool(_ALWAYS.search(self._words))

    @property
    def says_instructions(self) -> bool:
        """Whether it introduces instructions."""
        return bool(_INSTRUCTIONS.search(self._words))

    @property
    def _words(self) -> str:
        title = _ASIDE.sub("", self.title.lower())
        return title.replace("_", " ").replace("’", "'").strip(" *:#.")


def heading_of(line: Line) -> Heading | None:
    """Return the heading that a line is, if it is one."""
    text = line.text.rstrip()
    if not text or len(text) > _LONGEST:
        return None
    if match := _HASHES.match(text):
        return Heading(len(match["hashes"]), match["title"].strip("#* \t"))
    if match := _BOLD.match(text):
        return Heading(Level.BOLD, match["title"])
    if match := _TAG.match(text):
        return Heading(Level.LABEL, match["title"])
    if text.endswith(":") and not starts_item(text):
        return Heading(Level.LABEL, _SENTENCE_END.split(text)[-1])
    return None
