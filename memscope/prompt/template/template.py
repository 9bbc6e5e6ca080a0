"""Render a session with the tokenizer's own chat template.

With nothing left out, the ids equal those of `apply_chat_template` for the whole conversation, except next to a memory
inside a message, where the text is cut, and in texts that contain control tokens. If the template renders earlier turns
differently once others follow, each response is scored after the prompt that actually preceded it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from memscope.errors import PromptError
from memscope.prompt.places import Place
from memscope.prompt.sequence import Rendered, TokenSequence
from memscope.prompt.template.adaptation import adapt_messages
from memscope.prompt.template.chat_template import ChatTemplate, TemplateCapabilities, TemplateStyle
from memscope.prompt.template.conversation import EVERY_TEXT, Conversation, Rendering
from memscope.prompt.template.encode import SpanEncoder, TextSpan
from memscope.prompt.template.messages import Message, chat_messages
from memscope.prompt.template.skeleton import PREAMBLE, MismatchError
from memscope.prompt.template.spans import exact_prompt_spans, text_spans, unwritten_parts
from memscope.prompt.tokenizer import Tokenizer
from memscope.terminal.counts import counted

__all__ = ["TemplateRenderer"]

_REWRITES_NOTE = (
    "the chat template rewrites earlier turns: each response is scored after the prompt that actually preceded it"
)


class TemplateRenderer:
    """Renders places with a tokenizer's chat template, whose capabilities are determined once for each set of tools."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._encoder = SpanEncoder(tokenizer)
        self._known: dict[bytes, tuple[TemplateStyle, TemplateCapabilities]] = {}

    def render(self, places: Sequence[Place], tools: Sequence[Mapping[str, Any]] = ()) -> Rendered:
        """Render places.

        Args:
            places: The nodes in order.
            tools: Tool definitions to pass to the template.

        Raises:
            PromptError: There is no template, it rejects the places, or it changes texts in an unknown way.
        """
        style, capable = self._template(tools)
        refusal: PromptError | None = None
        for capabilities in capable.reductions():
            try:
                return self._rendered(places, tools, style, capabilities)
            except PromptError as error:
                refusal = refusal or error
        raise refusal or PromptError("the chat template rejects this session")

    def _template(self, tools: Sequence[Mapping[str, Any]]) -> tuple[TemplateStyle, TemplateCapabilities]:
        key = msgspec.json.encode(tools)
        if key not in self._known:
            template = ChatTemplate(self._tokenizer, tools)
            self._known[key] = template.style, TemplateCapabilities.of(template)
        return self._known[key]

    def _rendered(
        self,
        places: Sequence[Place],
        tools: Sequence[Mapping[str, Any]],
        style: TemplateStyle,
        capabilities: TemplateCapabilities,
    ) -> Rendered:
        notes: list[str] = []
        messages = adapt_messages(chat_messages(places), capabilities, notes.append)
        if not messages:
            return Rendered((TokenSequence(()),), notes=tuple(notes))
        if not style.introduces and not self._tokenizer.bos_text:
            # Without it the first token of an answer would have no context.
            messages[0] = replace(messages[0], memory=None)
        literal: list[str] = []
        while True:
            conversation = Conversation(self._tokenizer, tools, messages, style, literal)
            try:
                sequences, whole = _sequences(conversation, self._encoder, notes.append)
            except MismatchError as error:
                literal.append(_role_to_look_into(messages, error.message, literal))
            else:
                _check_responses(places, sequences)
                return Rendered(tuple(sequences), whole, tuple(notes))


def _check_responses(places: Sequence[Place], sequences: Sequence[TokenSequence]) -> None:
    scored = {index for one in sequences for index in one.responses if len(one.continuation(index))}
    for place in places:
        if place.response is not None and place.response not in scored:
            raise PromptError(f"the chat template does not render conversation node {place.position} (assistant)")
    if any(one.spans and one.spans[0].response is not None for one in sequences):
        raise PromptError("the chat template renders nothing before the first response")


def _role_to_look_into(messages: Sequence[Message], at: int, literal: Sequence[str]) -> str:
    """Choose the role whose texts the template must see: that of the mismatching message, or of those around it."""
    around = [*messages[max(at, 0) : at + 2], *messages]
    for message in around:
        if message.role not in literal:
            return message.role
    if EVERY_TEXT not in literal:
        return EVERY_TEXT
    frame = around[0].frame
    raise PromptError(
        f"the chat template changes the text of {frame.section} node {frame.position} ({frame.label}) in a way that "
        "is not supported"
    )


def _sequences(
    conversation: Conversation, encoder: SpanEncoder, add_note: Callable[[str], None]
) -> tuple[list[TokenSequence], TokenSequence | None]:
    """Return the sequences to score and, if there is one per response, also the whole conversation as one."""
    whole = conversation.rendering(len(conversation.messages))
    speaking = [index for index, message in enumerate(conversation.messages) if message.responses]
    turns = {index: conversation.turn(whole, index) for index in speaking}
    closing = TextSpan(conversation.style.closing, PREAMBLE, protected=False, opens=False)
    single = TokenSequence(encoder.encode([*text_spans(conversation, whole, turns), closing]))
    rewrites = (
        not conversation.appends
        or any(index and not turns[index].opened for index in speaking)
        or any(unwritten_parts(conversation, whole, index) for index in speaking)
    )
    sequences = [single]
    if rewrites:
        sequences = [TokenSequence(encoder.encode(exact_prompt_spans(conversation, index))) for index in speaking]
        add_note(_REWRITES_NOTE)
    _note_dropped_texts(conversation, whole, speaking, add_note)
    return sequences, single if rewrites else None


def _note_dropped_texts(
    conversation: Conversation, whole: Rendering, speaking: Sequence[int], add_note: Callable[[str], None]
) -> None:
    """Note which messages have content that appears neither in the whole conversation nor in the last prompt."""
    last = conversation.skeleton(speaking[-1], open_turn=True) if speaking and speaking[-1] else ""
    placeholders = [*conversation.placeholders.find(whole.skeleton), *conversation.placeholders.find(last)]
    seen = {(placeholder.slot.owner, placeholder.slot.text) for placeholder in placeholders}
    dropped = [
        message.frame
        for index, message in enumerate(conversation.messages)
        if not conversation.is_literal(index)
        and any(part.text.strip() and (part.owner, part.text) not in seen for part in message.content)
    ]
    if dropped:
        first = f"{dropped[0].section} node {dropped[0].position} ({dropped[0].label})"
        add_note(f"the chat template omits the text of {counted(len(dropped), 'node')}, the first is {first}")
