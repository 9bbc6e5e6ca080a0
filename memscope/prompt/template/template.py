"""Render a session with the tokenizer's own chat template.

With nothing left out, the ids equal those of `apply_chat_template` for the whole conversation, except next to a memory
inside a message, where the text is cut, and in texts that contain control tokens. If the template renders earlier turns
differently once others follow, each response is scored after the prompt that actually preceded it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from memscope.errors import PromptError
from memscope.prompt.prompt import Prompt
from memscope.prompt.responses import responses_of, with_token_counts
from memscope.prompt.sequence import TokenSequence
from memscope.prompt.template.adaptation import adapt_messages
from memscope.prompt.template.chat_template import ChatTemplate, TemplateCapabilities, TemplateStyle
from memscope.prompt.template.conversation import EVERY_TEXT, Conversation, Rendering
from memscope.prompt.template.encode import SpanEncoder, TextSpan
from memscope.prompt.template.messages import Message, session_messages
from memscope.prompt.template.skeleton import PREAMBLE, MismatchError
from memscope.prompt.template.spans import exact_prompt_spans, text_spans, unwritten_parts
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session
from memscope.terminal.counts import counted

__all__ = ["render_template"]

_REWRITES_NOTE = (
    "the chat template rewrites earlier turns: each response is scored after the prompt that actually preceded it"
)


def render_template(session: Session, tokenizer: Tokenizer) -> Prompt:
    """Render a session with the tokenizer's chat template.

    Raises:
        PromptError: There is no template, it rejects the session, or it changes texts in an unknown way.
    """
    template = ChatTemplate(tokenizer, session.tools)
    refusal: PromptError | None = None
    for capabilities in TemplateCapabilities.of(template).reductions():
        try:
            return _rendered(session, tokenizer, template.style, capabilities)
        except PromptError as error:
            refusal = refusal or error
    raise refusal or PromptError("the chat template rejects this session")


def _rendered(
    session: Session, tokenizer: Tokenizer, style: TemplateStyle, capabilities: TemplateCapabilities
) -> Prompt:
    responses = responses_of(session)
    notes: list[str] = []
    messages = session_messages(session, {response.entry_index: response.index for response in responses})
    messages = adapt_messages(messages, capabilities, notes.append)
    if not messages:
        return Prompt(session, [TokenSequence(())], responses, notes, template="own")
    if not style.introduces and not tokenizer.bos_text:
        messages[0] = replace(messages[0], memory=None)  # without it the first token of an answer would have no context
    literal: list[str] = []
    while True:
        conversation = Conversation(tokenizer, session.tools, messages, style, literal)
        try:
            sequences, layout = _sequences(conversation, SpanEncoder(tokenizer), notes.append)
        except MismatchError as error:
            literal.append(_role_to_look_into(messages, error.message, literal))
        else:
            found = with_token_counts(responses, sequences)
            if unwritten := [response.entry_index for response in found if not response.tokens]:
                raise PromptError(f"the chat template does not render conversation node {unwritten[0]} (assistant)")
            if any(one.spans and one.spans[0].response is not None for one in sequences):
                raise PromptError("the chat template renders nothing before the first response")
            return Prompt(session, sequences, found, notes, template="own", layout=layout)


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
