"""Split a rendering into spans by owner, and mark the scored ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from memscope.errors import PromptError
from memscope.prompt.template.conversation import Conversation, Rendering, Turn
from memscope.prompt.template.encode import TextSpan
from memscope.prompt.template.messages import Message, Owner, Part
from memscope.prompt.template.skeleton import PREAMBLE, Slot
from memscope.session.nodes import ToolCall
from memscope.session.text import leaf_text

__all__ = ["exact_prompt_spans", "text_spans", "unwritten_parts"]

_THINK = "<think>\n"
_THINK_END = "\n</think>\n\n"


def text_spans(
    conversation: Conversation,
    rendering: Rendering,
    turns: Mapping[int, Turn],
    start: int = 0,
    stop: int | None = None,
) -> Iterator[TextSpan]:
    """Yield a rendering as spans, or the part in [start, stop) of its skeleton.

    Args:
        conversation: The rendered conversation.
        rendering: The rendering.
        turns: The scored turns by message index.
        start: Start position in the skeleton.
        stop: End position in the skeleton; None for its end.
    """
    stop = len(rendering.skeleton) if stop is None else stop
    owners = _Owners(conversation, rendering, turns)
    for segment in rendering.segments:
        if segment.slot is not None:
            if start <= segment.start < stop:
                yield TextSpan(segment.text, owners.of_slot(segment.slot, segment.start), True, False)
            continue
        begin, end = max(start, segment.start), min(stop, segment.end)
        edges = [begin, *owners.edges[bisect_right(owners.edges, begin) : bisect_left(owners.edges, end)], end]
        for left, right in pairwise(edges):
            if left < right:
                text = rendering.skeleton[left:right]
                yield TextSpan(text, owners.of_frame(left), False, left in owners.opens)


def exact_prompt_spans(conversation: Conversation, index: int) -> Iterator[TextSpan]:
    """Yield the prompt that actually preceded a message, and the message as the model must have generated it."""
    message = conversation.messages[index]
    whole = conversation.rendering(index + 1)
    turn = conversation.turn(whole, index)
    missing = unwritten_parts(conversation, whole, index)
    before = whole.skeleton[: turn.start]
    prompt = conversation.skeleton(index, open_turn=True) if index else ""
    if (turn.opened and before.startswith(prompt)) or not index:
        yield from text_spans(conversation, whole, {}, 0, turn.start)
    else:
        front = conversation.rendering(index, open_turn=True)
        before = front.skeleton
        yield from text_spans(conversation, front, {})
        if conversation.style.header:
            yield from text_spans(conversation, whole, {}, turn.start - len(conversation.style.header), turn.start)
    if not missing:
        yield from text_spans(conversation, whole, {index: turn}, turn.start, turn.end)
        return
    thinking = before.rstrip().endswith(_THINK.strip())
    if message.reasoning:
        yield from _thinking_spans(message, opened=thinking)
        if not message.cut_in_reasoning:
            yield from text_spans(conversation, whole, {index: turn}, turn.start, turn.end)
        return
    for number, part in enumerate(missing):
        text = part.text.removeprefix(_THINK) if thinking and number == 0 else part.text
        yield TextSpan(text, part.owner, True, False)
    for call in message.calls:
        yield TextSpan(leaf_text(ToolCall(name=call.name, arguments=call.arguments)), call.owner, True, False)
    if not message.cut:
        ending = conversation.ending(whole.skeleton[: turn.end])
        yield TextSpan(ending, _response_owner(message), False, False)


def unwritten_parts(conversation: Conversation, rendering: Rendering, index: int) -> list[Part]:
    """Return the parts of a message that the template does not render: its reasoning, or texts that it changed."""
    message = conversation.messages[index]
    seen = {placeholder.slot.text for placeholder in rendering.placeholders.get(index, ())}
    if not conversation.is_literal(index):
        return [part for part in message.reasoning if part.text and part.text not in seen]
    start, stop = rendering.starts[index], rendering.starts[index + 1]
    said = "".join(span.text for span in text_spans(conversation, rendering, {}, start or 0, stop))
    if any(part.text.strip() not in said for part in message.reasoning):
        return list(message.reasoning)
    changed = any(part.text.strip() not in said for part in message.content)
    return list(message.content) if changed else []


def _thinking_spans(message: Message, *, opened: bool) -> Iterator[TextSpan]:
    owner = _response_owner(message)
    if not opened:
        yield TextSpan(_THINK, owner, False, False)
    for part in message.reasoning:
        yield TextSpan(part.text, owner, True, False)
    if not message.cut_in_reasoning:
        yield TextSpan(_THINK_END, owner, False, False)


def _response_owner(message: Message) -> Owner:
    return next(owner for owner in message.owners if owner.response is not None)


class _Owners:
    """The owners of the characters of a rendering, by position in its skeleton."""

    def __init__(self, conversation: Conversation, rendering: Rendering, turns: Mapping[int, Turn]) -> None:
        known = [(at, index) for index, at in enumerate(rendering.starts) if at is not None]
        known = [(at, index) for at, index in known if index < len(conversation.messages)]
        self.opens = {at for at, _ in known}
        self._starts = [at for at, _ in known]
        ends = [index for _, index in known[1:]] + [max(len(rendering.starts) - 1, known[-1][1] + 1)]
        self._frames = [conversation.frame(index, end) for (_, index), end in zip(known, ends, strict=True)]
        self._spans = [span for index, turn in turns.items() for span in _spans(conversation, rendering, index, turn)]
        self._span_starts = [start for start, _, _ in self._spans]
        self.edges = sorted({*self._starts, *(edge for start, end, _ in self._spans for edge in (start, end))})

    def of_frame(self, at: int) -> Owner:
        """Return the owner of template text at a position."""
        if (scored := self._scored(at)) is not None:
            return scored
        number = bisect_right(self._starts, at) - 1
        return PREAMBLE if number < 0 else self._frames[number]

    def of_slot(self, slot: Slot, at: int) -> Owner:
        """Return the owner of a text at a position; it is scored only inside a scored turn."""
        scored = self._scored(at)
        if slot.owner.response is None or (scored is not None and scored.response == slot.owner.response):
            return slot.owner
        return replace(slot.owner, response=None)

    def _scored(self, at: int) -> Owner | None:
        number = bisect_right(self._span_starts, at) - 1
        if number < 0 or at >= self._spans[number][1]:
            return None
        return self._spans[number][2]


def _spans(
    conversation: Conversation, rendering: Rendering, index: int, turn: Turn
) -> Iterator[tuple[int, int, Owner]]:
    """Yield [start, end) and owner of each response in a message; several if turns had to be joined."""
    speakers = [owner for owner in conversation.messages[index].owners if owner.response is not None]
    begun = conversation.messages[index].owners[0].response is None  # the request had begun the turn
    starts = [] if begun else [turn.start]
    for owner in speakers[len(starts) :]:
        start = next(
            (found.start for found in rendering.placeholders.get(index, ()) if found.slot.owner == owner), None
        )
        if start is None:
            raise PromptError(f"the responses at conversation node {owner.position} cannot be separated")
        starts.append(start)
    yield from zip(starts, [*starts[1:], turn.end], speakers, strict=True)
