"""Locate the texts of messages in the rendering of a chat template.

Templates are programs that may trim, reorder and drop texts. The conversation is therefore also rendered with every
text replaced by a unique placeholder, which gives the skeleton. Everything between placeholders was written by the
template, and filling in the texts must reproduce the real rendering exactly.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from memscope.prompt.template.messages import Call, Message, Owner, Part

__all__ = ["PREAMBLE", "MismatchError", "Placeholder", "Placeholders", "Slot", "TemplateSegment"]

PREAMBLE = Owner("system", 0, "template")
"""The owner of what the template writes before all messages, including tool definitions; never left out."""


class MismatchError(Exception):
    """The real rendering differs from the filled skeleton, from this message on."""

    def __init__(self, message: int) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Slot:
    """A text that a placeholder stands for.

    Attributes:
        text: The text.
        owner: Its owner.
        message: The index of its message; -1 for tool definitions.
        reasoning: Whether it is reasoning.
    """

    text: str
    owner: Owner
    message: int
    reasoning: bool = False


class Placeholder(NamedTuple):
    """The position of a text in a skeleton: [start, end), in characters."""

    start: int
    end: int
    slot: Slot


@dataclass(frozen=True, slots=True)
class TemplateSegment:
    """A part of a rendering.

    Attributes:
        text: The real characters.
        start: Its start in the skeleton, in characters.
        end: Its end in the skeleton.
        slot: The slot of its text, or None if the template wrote it.
    """

    text: str
    start: int
    end: int
    slot: Slot | None


class Placeholders:
    """Creates placeholders and locates them in a rendering.

    Attributes:
        slots: The slot of each placeholder, by number.
    """

    def __init__(self, texts: str, control_texts: Sequence[str]) -> None:
        """Choose the form of the placeholders.

        Args:
            texts: All texts of the conversation; placeholders must not occur in them.
            control_texts: Character sequences that are always replaced, because they must remain text.
        """
        number = 0
        while (prefix := f"Mark{_letters(number)}x") in texts:
            number += 1
        self._prefix = prefix
        self._pattern = re.compile(prefix + r"(\d+)Z")
        self._control = re.compile("|".join(map(re.escape, control_texts)) or "(?!)")
        self.slots: list[Slot] = []

    def add(self, slot: Slot) -> str:
        """Return a new placeholder for a text; an empty text stays empty, since templates test for that."""
        if not slot.text:
            return ""
        self.slots.append(slot)
        return f"{self._prefix}{len(self.slots) - 1}Z"

    def message(self, message: Message, index: int, *, literal: bool) -> dict[str, Any]:
        """Return a message with placeholders instead of its texts.

        Args:
            message: The message.
            index: Its index.
            literal: Replace only memories and control tokens, for templates that inspect the texts.
        """
        made = message.as_dict()
        if made["content"].strip():  # templates may drop a blank message, and a placeholder is not blank
            made["content"] = "".join(self._part(part, index, literal=literal) for part in message.content)
        if message.reasoning:
            parts = (self._part(part, index, literal=literal, reasoning=True) for part in message.reasoning)
            made["reasoning_content"] = "\n".join(parts)
        if message.calls:
            made["tool_calls"] = [self._call(call, index, literal=literal) for call in message.calls]
        fields: dict[str, Any] = self.value(dict(message.fields), Slot("", message.frame, index), literal=True)
        return made | fields

    def value(self, value: Any, like: Slot, *, literal: bool) -> Any:
        """Return a JSON value with placeholders instead of its strings."""
        if isinstance(value, str):
            return self._protected(value, like) if literal else self.add(Slot(value, like.owner, like.message))
        if isinstance(value, dict):
            return {
                self._protected(str(name), like): self.value(inner, like, literal=literal)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(inner, like, literal=literal) for inner in value]
        return value

    def find(self, rendered: str) -> list[Placeholder]:
        """Return the placeholders in a rendering, in order."""
        found = self._pattern.finditer(rendered)
        return [Placeholder(match.start(), match.end(), self.slots[int(match.group(1))]) for match in found]

    def fill(self, skeleton: str, real: str) -> list[TemplateSegment]:
        """Return the segments of a rendering.

        Args:
            skeleton: The rendering with placeholders.
            real: The rendering with the texts.

        Raises:
            MismatchError: They do not match.
        """
        chains = list(_chains(self.find(skeleton)))
        starts = [*(chain[0].start for chain in chains), len(skeleton)]
        at = starts[0]
        if not real.startswith(skeleton[:at]):
            raise MismatchError(chains[0][0].slot.message if chains else -1)
        segments = [TemplateSegment(skeleton[:at], 0, at, None)]
        for chain, until in zip(chains, starts[1:], strict=True):
            end = chain[-1].end
            frame = skeleton[end:until]
            texts = _spelling_of(chain, frame, real, at, is_last=until == len(skeleton))
            segments += [
                TemplateSegment(text, found.start, found.end, found.slot)
                for found, text in zip(chain, texts, strict=True)
            ]
            segments.append(TemplateSegment(frame, end, until, None))
            at += sum(map(len, texts)) + len(frame)
        return [segment for segment in segments if segment.end > segment.start]

    def _part(self, part: Part, index: int, *, literal: bool, reasoning: bool = False) -> str:
        slot = Slot(part.text, part.owner, index, reasoning)
        return self._protected(part.text, slot) if literal and part.owner.memory is None else self.add(slot)

    def _call(self, call: Call, index: int, *, literal: bool) -> dict[str, Any]:
        like = Slot("", call.owner, index)
        made: dict[str, Any] = self.value(call.as_dict(), like, literal=True)
        made["function"]["arguments"] = self.value(call.arguments, like, literal=literal)
        return made

    def _protected(self, text: str, like: Slot) -> str:
        return self._control.sub(lambda match: self.add(Slot(match.group(), like.owner, like.message)), text)


def _chains(placeholders: Sequence[Placeholder]) -> Iterator[list[Placeholder]]:
    """Yield the placeholders in groups of adjacent ones."""
    chain: list[Placeholder] = []
    for placeholder in placeholders:
        if chain and chain[-1].end != placeholder.start:
            yield chain
            chain = []
        chain.append(placeholder)
    if chain:
        yield chain


def _spelling_of(chain: Sequence[Placeholder], frame: str, real: str, at: int, *, is_last: bool) -> Sequence[str]:
    """Return the texts of a chain as the template wrote them, at a position and followed by a frame.

    Raises:
        MismatchError: They appear neither unchanged, nor trimmed, nor as JSON.
    """
    for texts in _spellings([placeholder.slot.text for placeholder in chain]):
        whole = "".join(texts) + frame
        if real.startswith(whole, at) and (not is_last or at + len(whole) == len(real)):
            return texts
    raise MismatchError(chain[-1].slot.message)


def _spellings(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ways in which a template may write adjacent texts."""
    yield texts
    whole = "".join(texts)
    left, right = len(whole) - len(whole.lstrip()), len(whole.rstrip())
    for start, end in ((left, right), (0, right), (left, len(whole))):
        yield list(_cut(texts, start, end))
    for ascii_only in (False, True):
        escaped = [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts]
        yield escaped
        yield _quoted(escaped)
    yield [text.strip() for text in texts]  # several adjacent fields, each trimmed


def _quoted(texts: Sequence[str]) -> list[str]:
    first = ['"' + texts[0], *texts[1:]]
    return [*first[:-1], first[-1] + '"']


def _cut(texts: Sequence[str], start: int, end: int) -> Iterator[str]:
    """Yield what remains of each text if their concatenation is cut to [start, end)."""
    at = 0
    for text in texts:
        yield text[max(0, start - at) : max(0, end - at)]
        at += len(text)


def _letters(number: int) -> str:
    return hashlib.blake2b(number.to_bytes(4, "big"), digest_size=6).hexdigest().translate(_TO_LETTERS)


_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")
