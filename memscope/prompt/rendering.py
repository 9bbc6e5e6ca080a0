"""Render a session as a prompt, as ChatML or with the model's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memscope.config import TemplateChoice
from memscope.errors import PromptError
from memscope.prompt.calls import CallSequence, call_sequences
from memscope.prompt.chatml import render_chatml
from memscope.prompt.places import Place, session_places
from memscope.prompt.prompt import Prompt, TemplateUsed
from memscope.prompt.raw import render_raw
from memscope.prompt.responses import responses_of, with_token_counts
from memscope.prompt.sequence import Rendered
from memscope.prompt.template.template import TemplateRenderer
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session

__all__ = ["SessionRenderer", "render"]

_NO_TEMPLATE = "the tokenizer has no chat template: the messages are rendered as ChatML"


class SessionRenderer:
    """Renders versions of a growing session; calls that did not change are not rendered again."""

    def __init__(self, tokenizer: Tokenizer, choice: TemplateChoice = "auto") -> None:
        """Create a renderer.

        Args:
            tokenizer: The tokenizer of the model that scores.
            choice: "chatml" or "own" forces one rendering. "auto" renders native sessions as ChatML if the tokenizer
                has its turn markers, and everything else with the model's own chat template, as the model saw it.
        """
        self.tokenizer = tokenizer
        self._choice: TemplateChoice = choice
        self._template = TemplateRenderer(tokenizer)
        self._known: dict[tuple[object, ...], tuple[CallSequence, Rendered]] = {}

    def render(self, session: Session) -> Prompt:
        """Render one version of a session.

        Raises:
            PromptError: The session cannot be rendered for this tokenizer.
        """
        template = self._used(session)
        if session.calls:
            rendered = self._calls(call_sequences(session), template)
        else:
            rendered = [self._places(session_places(session), session.tools, template)]
        sequences = [one for part in rendered for one in part.sequences]
        notes = [note for part in rendered for note in part.notes]
        if self._choice == "auto" and template == "chatml" and session.source.format != "native":
            notes.insert(0, _NO_TEMPLATE)
        return Prompt(
            session,
            sequences,
            with_token_counts(responses_of(session), sequences),
            notes,
            template=template,
            wholes=[one for part in rendered for one in ([part.whole] if part.whole else part.sequences)],
        )

    def _calls(self, sequences: Sequence[CallSequence], template: TemplateUsed) -> list[Rendered]:
        # Each sequence is kept with its rendering, so that no other node gets the identity of one of its nodes.
        self._known = {one.identity: self._known.get(one.identity) or self._call(one, template) for one in sequences}
        return [rendered for _, rendered in self._known.values()]

    def _call(self, one: CallSequence, template: TemplateUsed) -> tuple[CallSequence, Rendered]:
        if one.raw:
            return one, Rendered((render_raw(one.places, self.tokenizer),))
        return one, self._places(one.places, one.tools, template)

    def _places(self, places: Sequence[Place], tools: Sequence[Mapping[str, Any]], template: TemplateUsed) -> Rendered:
        if template == "own":
            return self._template.render(places, tools)
        return render_chatml(places, self.tokenizer)

    def _used(self, session: Session) -> TemplateUsed:
        if self._choice != "auto":
            return self._choice
        if self.tokenizer.chatml and session.source.format == "native":
            return "chatml"
        if self.tokenizer.chat_template is not None:
            return "own"
        if self.tokenizer.chatml:
            return "chatml"
        raise PromptError(
            "the tokenizer has neither <|im_start|>/<|im_end|> nor a chat template: choose another one with --tokenizer"
        )


def render(session: Session, tokenizer: Tokenizer, choice: TemplateChoice = "auto") -> Prompt:
    """Render a session once; see `SessionRenderer`.

    Raises:
        PromptError: The session cannot be rendered for this tokenizer.
    """
    return SessionRenderer(tokenizer, choice).render(session)
