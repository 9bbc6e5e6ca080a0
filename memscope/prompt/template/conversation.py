"""A conversation rendered by a chat template, and where its messages and turns begin and end.

Positions are characters of the skeleton (see `skeleton`). They are found by rendering prefixes of the
conversation; the few kinds of joints between messages are each analysed once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.template.chat_template import ChatTemplate, TemplateStyle
from memscope.prompt.template.messages import Message, Owner
from memscope.prompt.template.skeleton import PREAMBLE, Placeholder, Placeholders, Slot, TemplateSegment
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["EVERY_TEXT", "Conversation", "Rendering", "Turn"]

_NUMBER = re.compile(r"\d+")
EVERY_TEXT = "*"
_KEPT_SKELETONS = 4
"""The same skeleton is asked for several times in a row, and rendering a long one takes a while."""

_LONGEST_HEADER = 200
"""Number of characters used to distinguish the headers of messages."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The rendering of the first messages of a conversation.

    Attributes:
        skeleton: The rendering with placeholders instead of texts.
        starts: Where each message begins, and where the last one ends; None if the boundary cannot be determined.
        segments: The segments of the rendering.
        placeholders: The placeholders of each message, in order.
    """

    skeleton: str
    starts: tuple[int | None, ...]
    segments: tuple[TemplateSegment, ...]
    placeholders: Mapping[int, Sequence[Placeholder]]


@dataclass(frozen=True, slots=True)
class Turn:
    """The scored part of an assistant message.

    Attributes:
        start: Its start in the skeleton, in characters.
        end: Its end in the skeleton.
        opened: Whether the complete opening of the turn precedes it; some templates open the reasoning too, but omit
            that for an answer without reasoning.
    """

    start: int
    end: int
    opened: bool


class Conversation:
    """Messages and the template that renders them.

    Attributes:
        messages: The messages.
        style: The style of the template.
        appends: False once the template was found to render earlier messages differently when others follow.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        tools: Sequence[Mapping[str, Any]],
        messages: Sequence[Message],
        style: TemplateStyle,
        literal: Collection[str],
    ) -> None:
        """Create a conversation.

        Args:
            tokenizer: The tokenizer with the template.
            tools: Tool definitions to pass to the template.
            messages: Messages that the template accepts.
            style: The style of the template.
            literal: Roles whose texts the template inspects. In texts with tags of these roles, only memories and
                control tokens are replaced; with `EVERY_TEXT` in it, this applies to all texts.
        """
        self.messages = tuple(messages)
        self.appends = True
        self._literal = frozenset(literal)
        self.real = [message.as_dict() for message in messages]
        self.placeholders = Placeholders(repr((self.real, tools)), tokenizer.control_texts)
        self._frames = [message.frame for message in messages]
        self._skeleton_messages = [
            self.placeholders.message(message, index, literal=self.is_literal(index))
            for index, message in enumerate(messages)
        ]
        self._template = ChatTemplate(tokenizer, tools, style)
        self.style = style
        guarded = self.placeholders.value(list(tools), Slot("", PREAMBLE, -1), literal=True)
        self._skeleton_template = ChatTemplate(tokenizer, guarded, style)
        self._beginning = tokenizer.bos_text
        self._names_beginning = "bos_token" in (tokenizer.chat_template or "")
        self._control = re.compile("|".join(map(re.escape, tokenizer.control_texts)) or "(?!)")
        self._joints: dict[tuple[str, ...], str | None] = {}
        self._skeletons: dict[tuple[int, bool], str] = {}
        self._headers: dict[tuple[str, ...], tuple[int, bool]] = {}

    def frame(self, first: int, end: int) -> Owner:
        """Return the owner of template text around messages [first, end) whose boundaries cannot be determined."""
        if end - first == 1:
            return self._frames[first]
        return Message("", owners=tuple(owner for m in self.messages[first:end] for owner in m.owners)).frame

    def skeleton(self, count: int, *, open_turn: bool = False) -> str:
        """Render the first messages with placeholders instead of their texts.

        Raises:
            PromptError: The template rejects them.
        """
        if (count, open_turn) not in self._skeletons:
            while len(self._skeletons) >= _KEPT_SKELETONS:
                self._skeletons.pop(next(iter(self._skeletons)))
            rendered = self._skeleton_template.render(self._skeleton_messages[:count], open_turn=open_turn)
            self._skeletons[count, open_turn] = rendered
        return self._skeletons[count, open_turn]

    def rendering(self, count: int, *, open_turn: bool = False) -> Rendering:
        """Render the first messages.

        Raises:
            PromptError: The template rejects them.
            MismatchError: The texts cannot be located in the rendering.
        """
        skeleton = self.skeleton(count, open_turn=open_turn)
        real = self._template.render(self.real[:count], open_turn=open_turn)
        segments = tuple(self.placeholders.fill(skeleton, real))
        placeholders: dict[int, list[Placeholder]] = {}
        for placeholder in self.placeholders.find(skeleton):
            placeholders.setdefault(placeholder.slot.message, []).append(placeholder)
        return Rendering(skeleton, self._starts(skeleton, count, open_turn=open_turn), segments, placeholders)

    def is_literal(self, index: int) -> bool:
        """Return whether skeletons contain a message's texts unchanged."""
        message = self.messages[index]
        if EVERY_TEXT in self._literal:
            return True
        return message.role in self._literal and any("<" in part.text for part in message.content)

    def ending(self, skeleton: str) -> str:
        """Return the control token at the end of a skeleton, or ""."""
        return next((match.group() for match in self._control.finditer(skeleton) if match.end() == len(skeleton)), "")

    def turn(self, rendering: Rendering, index: int) -> Turn:
        """Locate the scored part of an assistant message.

        Raises:
            PromptError: The template does not render the message.
        """
        skeleton = rendering.skeleton
        own = rendering.placeholders.get(index, ())
        begin, until = rendering.starts[index], rendering.starts[index + 1]
        if begin is None and not own:
            frame = self.messages[index].frame
            raise PromptError(f"the chat template does not render {frame.section} node {frame.position}")
        length, opened = (0, True) if begin is None else self._header(rendering, index, begin)
        start = own[0].start if begin is None else begin + length
        last = max((placeholder.end for placeholder in own), default=start)
        if self.messages[index].cut and own:
            return Turn(start, last, opened)
        ends = [match.end() for match in self._control.finditer(skeleton, max(start, last), until or len(skeleton))]
        if not ends:
            return Turn(start, last if until is None else until, opened)
        return Turn(start, ends[0] if until is None else ends[-1], opened)

    def _starts(self, skeleton: str, count: int, *, open_turn: bool) -> tuple[int | None, ...]:
        placeholders = self.placeholders.find(skeleton)
        starts: list[int | None] = [self._front(skeleton)]
        number = 0
        for index in range(1, count + (1 if open_turn else 0)):
            while number < len(placeholders) and placeholders[number].slot.message < index:
                number += 1
            after, slot = (placeholders[number - 1].end, placeholders[number - 1].slot) if number else (0, None)
            until = placeholders[number].start if number < len(placeholders) else len(skeleton)
            offset = self._joint(skeleton[after:until], slot, index, skeleton)
            starts.append(None if offset is None else after + offset)
        return tuple(starts if open_turn else [*starts, len(skeleton)])

    def _front(self, skeleton: str) -> int:
        """Return where the first message begins: after the beginning-of-text token, unless it begins a turn."""
        token = self._beginning
        return len(token) if skeleton.startswith(token) and (self._names_beginning or skeleton.count(token) == 1) else 0

    def _joint(self, frame: str, slot: Slot | None, index: int, skeleton: str) -> int | None:
        """Return where a message begins in the template text between two texts; None if it cannot be determined.

        Args:
            frame: The template text.
            slot: The slot before it, if any.
            index: The index of the message.
            skeleton: The whole skeleton.
        """
        first = max(0, slot.message) if slot else 0
        roles = (message.role for message in self.messages[first : index + 1])
        # Joints that differ only in the numbers of tool calls are the same.
        key = (_NUMBER.sub("0", frame), str(slot is None), *roles)
        if (frame, *key) in self._joints:
            header = self._joints[frame, *key]
            return None if header is None else len(frame) - len(header)
        header = self._joints.get(key)
        if header is None or not frame.endswith(header):
            offset = self._joint_offset(frame, slot, index, skeleton)
            header = None if offset is None else frame[offset:]
            self._joints.setdefault(key, header)
        self._joints[frame, *key] = header
        return None if header is None else len(frame) - len(header)

    def _joint_offset(self, frame: str, slot: Slot | None, index: int, skeleton: str) -> int | None:
        try:
            shorter = self.skeleton(index)
        except PromptError:
            return None
        placeholders = self.placeholders.find(shorter)
        if not skeleton.startswith(shorter):
            self.appends = False
        if (placeholders[-1].slot if placeholders else None) is not slot:
            return None
        tail = shorter[placeholders[-1].end if placeholders else 0 :]
        return len(tail) if frame.startswith(tail) else None

    def _header(self, rendering: Rendering, index: int, begin: int) -> tuple[int, bool]:
        """Return the length of an assistant message's header, and whether it is the complete opening of the turn."""
        own = rendering.placeholders.get(index, ())
        turn = rendering.skeleton[begin : own[0].start if own else rendering.starts[index + 1]]
        before = self.messages[index - 1] if index else None
        key = (turn[:_LONGEST_HEADER], before.role if before else "", str(bool(before and before.calls)))
        if key not in self._headers:
            self._headers[key] = self._header_length(turn, index)
        return self._headers[key]

    def _header_length(self, turn: str, index: int) -> tuple[int, bool]:
        if self.style.header:
            return len(self.style.header) * turn.startswith(self.style.header), True
        try:
            opened = self.skeleton(index, open_turn=True)
        except PromptError:  # nothing precedes it, or the template opens no turn there
            return self._common(self.style.opening, turn), True
        at = self._starts(opened, index, open_turn=True)[-1]
        header = self.style.opening if at is None else opened[at:]
        common = self._common(header, turn)
        return common, common == len(header)

    def _common(self, header: str, turn: str) -> int:
        """Return the length of the common prefix of a header and a turn, cut at a token, tag or line boundary."""
        if turn.startswith(header):
            return len(header)
        ends = [match.span() for match in self._control.finditer(header)]
        borders = {0, *(edge for span in ends for edge in span), *(n + 1 for n, c in enumerate(header) if c in "\n>")}
        return max(border for border in borders if turn.startswith(header[:border]))
