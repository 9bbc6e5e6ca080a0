"""Render a session as a prompt, as ChatML or with the model's chat template."""

from __future__ import annotations

from memscope.config import TemplateChoice
from memscope.errors import PromptError
from memscope.prompt.chatml import render_chatml
from memscope.prompt.prompt import Prompt, TemplateUsed
from memscope.prompt.template.template import render_template
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session

__all__ = ["render"]

_NO_TEMPLATE = "the tokenizer has no chat template: the messages are rendered as ChatML"


def render(session: Session, tokenizer: Tokenizer, choice: TemplateChoice = "auto") -> Prompt:
    """Render a session for a tokenizer.

    Args:
        session: The session.
        tokenizer: The tokenizer of the model that scores.
        choice: "chatml" or "own" forces one rendering. "auto" renders native sessions as ChatML if the tokenizer has
            its turn markers, and chat messages with the model's own chat template, as the model saw them.

    Raises:
        PromptError: The session cannot be rendered for this tokenizer.
    """
    if (_chosen(session, tokenizer) if choice == "auto" else choice) == "own":
        return render_template(session, tokenizer)
    fallback = choice == "auto" and session.source.format != "native"
    return render_chatml(session, tokenizer, notes=[_NO_TEMPLATE] if fallback else [])


def _chosen(session: Session, tokenizer: Tokenizer) -> TemplateUsed:
    if tokenizer.chatml and session.source.format == "native":
        return "chatml"
    if tokenizer.chat_template is not None:
        return "own"
    if tokenizer.chatml:
        return "chatml"
    raise PromptError(
        "the tokenizer has neither <|im_start|>/<|im_end|> nor a chat template: choose another one with --tokenizer"
    )
