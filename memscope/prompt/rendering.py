"""From a session to a prompt, in the way that fits the tokenizer."""

from __future__ import annotations

from memscope.prompt.chatml import render_chatml
from memscope.prompt.prompt import Prompt
from memscope.prompt.template.template import render_template
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session

__all__ = ["render"]


def render(session: Session, tokenizer: Tokenizer) -> Prompt:
    """Turn a session into ids, spans and leave-outs.

    ChatML for every tokenizer that has its turn markers, the tokenizer's own chat template for the others.

    Raises:
        PromptError: The session cannot be rendered for this tokenizer.
    """
    return render_chatml(session, tokenizer) if tokenizer.chatml else render_template(session, tokenizer)
