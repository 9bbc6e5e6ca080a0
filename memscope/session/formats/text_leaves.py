"""The leaves of a message's text: memories by exact mark or by rule, and content."""

from __future__ import annotations

import re

from memscope.session.detectors import Detector
from memscope.session.nodes import Content, Leaf, Memory
from memscope.session.rules.base import Origin
from memscope.terminal.counts import counted

__all__ = ["TextLeaves"]


_MEMORY_ELEMENT = re.compile(r"<memory(?=[\s>])")


class TextLeaves:
    """Splits the texts of one session's messages into leaves, and records what was found."""

    def __init__(self, detector: Detector) -> None:
        """Use a detector, which is told every text of the session once."""
        self._detector = detector
        self._marked: dict[str, None] = {}
        self._keyless = 0

    def split(self, text: str, *, key: str | None, origin: Origin | None, search_results: bool = False) -> list[Leaf]:
        """Return the leaves of a text.

        Args:
            text: The text; an empty one has no leaves.
            key: The memory key of an exact mark on the whole text, or None.
            origin: Where it comes from; None if the model wrote it: then it holds no memories unless marked.
            search_results: Whether the text is the result of a memory search.
        """
        if not text:
            return []
        if key is not None:
            self._marked.setdefault(key)
            return [Memory(key=key, text=text)]
        if origin is None:
            return [Content(text=text)]
        parts = self._detector.split(text, origin=origin, search_results=search_results)
        self._keyless += sum(len(_MEMORY_ELEMENT.findall(part)) for key, part in parts if key is None)
        return [Content(text=part) if key is None else Memory(key=key, text=part) for key, part in parts]

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the rules that are applied."""
        return self._detector.rules

    @property
    def rules(self) -> dict[str, tuple[str, ...]]:
        """The keys found so far by each rule; "mark" stands for exact marks."""
        marks = {"mark": self._marked} if self._marked else {}
        return {rule: tuple(keys) for rule, keys in {**marks, **self._detector.found}.items()}

    @property
    def notes(self) -> list[str]:
        """What looks like a memory and was not taken, one line each."""
        if not self._keyless:
            return []
        found = counted(self._keyless, "<memory> element")
        return [f'{found} not recognised: add a key="…" attribute, or use --memory-regex']
