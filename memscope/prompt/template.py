"""Rendering with the tokenizer's own chat template.

With nothing left out the ids are those of `apply_chat_template` over the whole conversation, except beside a memory
inside a message, where the text is cut, and inside texts that spell control tokens. A template that writes earlier
turns differently later on is not followed into the past: each response is then scored behind the prompt that really
preceded it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memscope.errors import PromptError
from memscope.prompt.adapting import adapted
from memscope.prompt.chat_template import Abilities, ChatTemplate
from memscope.prompt.conversation import Conversation, Rendering
from memscope.prompt.messages import Message, messages_of
from memscope.prompt.prompt import Pass, Prompt
from memscope.prompt.responses import counted, responses_of
from memscope.prompt.runs import lost, own_runs, runs
from memscope.prompt.skeleton import MismatchError
from memscope.prompt.stretches import StretchEncoder
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
    responses = responses_of(session)
    notes: list[str] = []
    abilities = Abilities.of(ChatTemplate(tokenizer, session.tools))
    messages = messages_of(session, {response.entry_index: response.index for response in responses})
    messages = adapted(messages, abilities, notes.append)
    if not messages:
        return Prompt(session, [Pass(())], responses, notes)
    literal: list[str] = []
    while True:
        conversation = Conversation(tokenizer, session.tools, messages, literal)
        try:
            passes, layout = _passes(conversation, StretchEncoder(tokenizer), notes.append)
        except MismatchError as error:
            literal.append(_role_to_look_into(messages, error.message, literal))
        else:
            return Prompt(session, passes, counted(responses, passes), notes, layout=layout)


def _role_to_look_into(messages: Sequence[Message], at: int, literal: Sequence[str]) -> str:
    """Choose whose texts the template must see: the message where the texts stopped fitting, or those around it."""
    around = [*messages[max(at, 0) : at + 2], *messages]
    for message in around:
        if message.role not in literal:
            return message.role
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
    single = Pass(encoder.pieces(runs(conversation, whole, turns)))
    rewrites = not conversation.appends or any(lost(conversation, whole, index) for index in speaking)
    passes = [Pass(encoder.pieces(own_runs(conversation, index))) for index in speaking] if rewrites else [single]
    if rewrites:
        say(_REWRITES)
    if dropped := _dropped(conversation, whole):
        frame = conversation.messages[dropped[0]].frame
        count = f"{len(dropped)} node{'s' * (len(dropped) > 1)}"
        say(
            f"the chat template leaves out the text of {count}, the first is {frame.section} node {frame.position} "
            f"({frame.label})"
        )
    return passes, single if rewrites else None


def _dropped(conversation: Conversation, whole: Rendering) -> list[int]:
    """Return the messages of which some content does not appear."""
    seen = {(mark.slot.owner, mark.slot.text) for marks in whole.marks.values() for mark in marks}
    return [
        index
        for index, message in enumerate(conversation.messages)
        if not conversation.is_literal(index)
        and any(part.text.strip() and (part.owner, part.text) not in seen for part in message.content)
    ]
