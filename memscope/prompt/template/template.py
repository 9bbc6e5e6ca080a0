"""Rendering with the tokenizer's own chat template.

With nothing left out the ids are those of `apply_chat_template` over the whole conversation, except beside a memory
inside a message, where the text is cut, and inside texts that spell control tokens. A template that writes earlier
turns differently later on is not followed into the past: each response is then scored behind the prompt that really
preceded it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from memscope.errors import PromptError
from memscope.prompt.prompt import Pass, Prompt
from memscope.prompt.responses import counted, responses_of
from memscope.prompt.template.adaptation import adapted
from memscope.prompt.template.chat_template import Abilities, ChatTemplate, Style
from memscope.prompt.template.conversation import EVERYTHING, Conversation, Rendering
from memscope.prompt.template.encode import Run, StretchEncoder
from memscope.prompt.template.messages import Message, messages_of
from memscope.prompt.template.skeleton import FRONT, MismatchError
from memscope.prompt.template.spans import lost, own_runs, runs
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session

__all__ = ["render_template"]

_REWRITES = (
    "the chat template writes earlier turns differently later on: each response is scored behind the prompt that "
    "really preceded it"
)


def render_template(session: Session, tokenizer: Tokenizer) -> Prompt:
    """Render a session with the tokenizer's chat template.

    Raises:
        PromptError: There is no template, or it refuses the session, or what it does with the texts cannot be followed.
    """
    template = ChatTemplate(tokenizer, session.tools)
    refusal: PromptError | None = None
    for abilities in Abilities.of(template).lesser():
        try:
            return _rendered(session, tokenizer, template.style, abilities)
        except PromptError as error:
            refusal = refusal or error
    raise refusal or PromptError("the chat template refuses this session")


def _rendered(session: Session, tokenizer: Tokenizer, style: Style, abilities: Abilities) -> Prompt:
    responses = responses_of(session)
    notes: list[str] = []
    messages = messages_of(session, {response.entry_index: response.index for response in responses})
    messages = adapted(messages, abilities, notes.append)
    if not messages:
        return Prompt(session, [Pass(())], responses, notes)
    if not style.introduces and not tokenizer.beginning:
        messages[0] = replace(messages[0], memory=None)  # without it an answer's first token would have no context
    literal: list[str] = []
    while True:
        conversation = Conversation(tokenizer, session.tools, messages, style, literal)
        try:
            passes, layout = _passes(conversation, StretchEncoder(tokenizer), notes.append)
        except MismatchError as error:
            literal.append(_role_to_look_into(messages, error.message, literal))
        else:
            found = counted(responses, passes)
            if unwritten := [response.entry_index for response in found if not response.tokens]:
                raise PromptError(f"the chat template writes nothing of conversation node {unwritten[0]} (assistant)")
            if any(one.pieces and one.pieces[0].response is not None for one in passes):
                raise PromptError("the chat template writes nothing before the first response")
            return Prompt(session, passes, found, notes, layout=layout)


def _role_to_look_into(messages: Sequence[Message], at: int, literal: Sequence[str]) -> str:
    """Choose whose texts the template must see: the message where the texts stopped fitting, or those around it."""
    around = [*messages[max(at, 0) : at + 2], *messages]
    for message in around:
        if message.role not in literal:
            return message.role
    if EVERYTHING not in literal:
        return EVERYTHING
    frame = around[0].frame
    raise PromptError(
        f"the chat template changes the text of {frame.section} node {frame.position} ({frame.label}) in a way that "
        "cannot be followed"
    )


def _passes(
    conversation: Conversation, encoder: StretchEncoder, say: Callable[[str], None]
) -> tuple[list[Pass], Pass | None]:
    """Return the passes, and the whole conversation in one where there is one a response."""
    whole = conversation.rendering(len(conversation.messages))
    speaking = [index for index, message in enumerate(conversation.messages) if message.responses]
    turns = {index: conversation.turn(whole, index) for index in speaking}
    closing = Run(conversation.style.closing, FRONT, protected=False, opens=False)
    single = Pass(encoder.pieces([*runs(conversation, whole, turns), closing]))
    rewrites = not conversation.appends or any(lost(conversation, whole, index) for index in speaking)
    passes = [Pass(encoder.pieces(own_runs(conversation, index))) for index in speaking] if rewrites else [single]
    if rewrites:
        say(_REWRITES)
    _say_dropped(conversation, whole, speaking, say)
    return passes, single if rewrites else None


def _say_dropped(
    conversation: Conversation, whole: Rendering, speaking: Sequence[int], say: Callable[[str], None]
) -> None:
    """Say which messages have content that appears neither in the whole conversation nor in the last prompt."""
    last = conversation.marked(speaking[-1], open_turn=True) if speaking and speaking[-1] else ""
    marks = [*conversation.marker.marks(whole.marked), *conversation.marker.marks(last)]
    seen = {(mark.slot.owner, mark.slot.text) for mark in marks}
    dropped = [
        message.frame
        for index, message in enumerate(conversation.messages)
        if not conversation.is_literal(index)
        and any(part.text.strip() and (part.owner, part.text) not in seen for part in message.content)
    ]
    if dropped:
        count = f"{len(dropped)} node{'s' * (len(dropped) > 1)}"
        first = f"{dropped[0].section} node {dropped[0].position} ({dropped[0].label})"
        say(f"the chat template leaves out the text of {count}, the first is {first}")
