"""A conversation written by a chat template, and where its messages and turns begin and end in it.

Positions are characters of the *marked* rendering (see `skeleton`). They are found by rendering beginnings of the
conversation; since the same few joints between messages come again and again, each is looked at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.chat_template import ChatTemplate
from memscope.prompt.messages import Message, Owner
from memscope.prompt.skeleton import FRONT, Marker, Segment, Slot
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["Conversation", "Rendering", "Turn"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """The first messages of a conversation as the template writes them.

    Attributes:
        marked: With marks for the texts.
        starts: Where each message begins, and where the last one ends; None where that cannot be told apart.
        segments: What stands there.
    """

    marked: str
    starts: tuple[int | None, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is scored of an assistant message: [start, end), and whether the opened turn stands before it as it is."""

    start: int
    end: int
    opened: bool


class Conversation:
    """Messages and the template that writes them.

    Attributes:
        messages: The messages.
        appends: False as soon as it was seen that the template writes earlier messages differently when others follow.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        tools: Sequence[Mapping[str, Any]],
        messages: Sequence[Message],
        literal: Collection[str],
    ) -> None:
        """Take messages.

        Args:
            tokenizer: The tokenizer with the template.
            tools: Tool definitions, passed to the template.
            messages: Messages that the template takes.
            literal: Roles whose texts the template looks into; only memories and control tokens are marked in them.
        """
        self.messages = tuple(messages)
        self.appends = True
        self.real = [message.as_dict() for message in messages]
        self.marker = Marker(repr((self.real, tools)), tokenizer.control_texts)
        self._literal = frozenset(literal)
        self._frames = [message.frame for message in messages]
        self._marked_messages = [
            self.marker.message(message, index, literal=message.role in literal)
            for index, message in enumerate(messages)
        ]
        self._template = ChatTemplate(tokenizer, tools)
        guarded = self.marker.value(list(tools), Slot("", FRONT, -1), literal=True)
        self._marked_template = ChatTemplate(tokenizer, guarded)
        self._beginning = tokenizer.beginning
        self._control = re.compile("|".join(map(re.escape, tokenizer.control_texts)) or "(?!)")
        self._joints: dict[tuple[str, ...], int | None] = {}
        self._headers: dict[tuple[str, ...], tuple[int, bool]] = {}

    def frame(self, first: int, end: int) -> Owner:
        """Return the owner of what the template writes around messages [first, end) that cannot be told apart."""
        if end - first == 1:
            return self._frames[first]
        return Message("", owners=tuple(owner for m in self.messages[first:end] for owner in m.owners)).frame

    def marked(self, count: int, *, open_turn: bool = False) -> str:
        """Render the first messages with marks for their texts.

        Raises:
            PromptError: The template refuses them.
        """
        return self._marked_template.render(self._marked_messages[:count], open_turn=open_turn)

    def rendering(self, count: int, *, open_turn: bool = False) -> Rendering:
        """Render the first messages.

        Raises:
            PromptError: The template refuses them.
            MismatchError: The texts cannot be found in what it wrote.
        """
        marked = self.marked(count, open_turn=open_turn)
        real = self._template.render(self.real[:count], open_turn=open_turn)
        segments = tuple(self.marker.fill(marked, real))
        return Rendering(marked, self._starts(marked, count, open_turn=open_turn), segments)

    def is_literal(self, index: int) -> bool:
        """Whether a message's texts stand unmarked in marked renderings."""
        return self.messages[index].role in self._literal

    def ending(self, marked: str) -> str:
        """Return the control token with which a marked rendering ends; "" without one."""
        return next((match.group() for match in self._control.finditer(marked) if match.end() == len(marked)), "")

    def turn(self, rendering: Rendering, index: int) -> Turn:
        """Find what is scored of an assistant message.

        Raises:
            PromptError: It is not written at all.
        """
        marked = rendering.marked
        own = [(start, end) for start, end, slot in self.marker.marks(marked) if slot.message == index]
        begin, until = rendering.starts[index], rendering.starts[index + 1]
        if begin is None and not own:
            frame = self.messages[index].frame
            raise PromptError(f"the chat template does not write {frame.section} node {frame.position}")
        length, opened = (0, True) if begin is None else self._header(rendering, index, begin)
        start = own[0][0] if begin is None else begin + length
        last = max((end for _, end in own), default=start)
        ends = [match.end() for match in self._control.finditer(marked, max(start, last), until or len(marked))]
        if not ends:
            return Turn(start, last if until is None else until, opened)
        return Turn(start, ends[0] if until is None else ends[-1], opened)

    def _starts(self, marked: str, count: int, *, open_turn: bool) -> tuple[int | None, ...]:
        marks = self.marker.marks(marked)
        starts: list[int | None] = [self._front(marked)]
        number = 0
        for index in range(1, count + (1 if open_turn else 0)):
            while number < len(marks) and marks[number][2].message < index:
                number += 1
            before = marks[number - 1] if number else None
            until = marks[number][0] if number < len(marks) else len(marked)
            after = before[1] if before else 0
            first = before[2].message if before else 0
            offset = self._joint(marked, after, until, index, first=max(0, first))
            starts.append(None if offset is None else after + offset)
        return tuple(starts if open_turn else [*starts, len(marked)])

    def _front(self, marked: str) -> int:
        """Return where the first message begins: after the tokens that begin every text."""
        return len(self._beginning) if marked.startswith(self._beginning) else 0

    def _joint(self, marked: str, after: int, until: int, index: int, *, first: int) -> int | None:
        """Return how far after the last mark before a message that message begins."""
        roles = (message.role for message in self.messages[first : index + 1])
        key = (marked[after:until], str(after == 0), *roles)
        if key not in self._joints:
            self._joints[key] = self._joint_offset(marked, after, until, index)
        return self._joints[key]

    def _joint_offset(self, marked: str, after: int, until: int, index: int) -> int | None:
        try:
            shorter = self.marked(index)
        except PromptError:
            return None
        if not marked.startswith(shorter):
            self.appends = False
        ends = [end for _, end, _ in self.marker.marks(shorter)]
        tail = shorter[ends[-1] if ends else 0 :]
        return len(tail) if marked[after:until].startswith(tail) else None

    def _header(self, rendering: Rendering, index: int, begin: int) -> tuple[int, bool]:
        """Return how long an assistant message's header is, and whether it is the opened turn as it is."""
        marks = self.marker.marks(rendering.marked)
        until = next((start for start, _, _ in marks if start >= begin), len(rendering.marked))
        before = self.messages[index - 1] if index else None
        key = (rendering.marked[begin:until], before.role if before else "", str(bool(before and before.calls)))
        if key not in self._headers:
            self._headers[key] = self._header_length(rendering.marked[begin:], index)
        return self._headers[key]

    def _header_length(self, turn: str, index: int) -> tuple[int, bool]:
        try:
            opened = self.marked(index, open_turn=True)
        except PromptError:  # nothing stands before it
            return 0, False
        at = self._starts(opened, index, open_turn=True)[-1]
        if at is None:
            return 0, False
        header = opened[at:]
        common = next((n for n, (a, b) in enumerate(zip(header, turn, strict=False)) if a != b), len(header))
        return common, common == len(header)
