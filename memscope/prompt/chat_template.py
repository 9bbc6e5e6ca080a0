"""A tokenizer's chat template, and what it takes: found out by trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["Abilities", "ChatTemplate"]

_SYSTEM, _USER, _ASSISTANT = (
    {"role": role, "content": text}
    for role, text in (("system", "Sampleinstruction"), ("user", "Samplequestion"), ("assistant", "Sampleanswer"))
)
_CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "sampletool", "arguments": {"samplename": "samplevalue"}},
}
_RESULT = {"role": "tool", "name": "sampletool", "tool_call_id": "call00001", "content": "Sampleresult"}


class ChatTemplate:
    """The template of a tokenizer, with the tool definitions of one session."""

    def __init__(self, tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]] = ()) -> None:
        self._tokenizer = tokenizer
        self._tools = tools

    def render(self, messages: Sequence[Mapping[str, Any]], *, open_turn: bool = False) -> str:
        """Render messages; `open_turn` opens the assistant's next turn after them.

        Raises:
            PromptError: The template refuses them.
        """
        return self._tokenizer.apply_template(messages, self._tools, add_generation_prompt=open_turn)

    def shows(self, messages: Sequence[Mapping[str, Any]], *texts: str) -> bool:
        """Whether the template takes these messages and writes these texts, in this order."""
        try:
            rendered = self.render(messages)
        except PromptError:
            return False
        at = 0
        for text in texts:
            at = rendered.find(text, at)
            if at < 0:
                return False
            at += len(text)
        return True


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template takes.

    Attributes:
        system: A system message at the beginning.
        systems: Several of them.
        system_inside: System messages anywhere in the conversation, written where they stand.
        tool: The role `tool`.
        calls: Tool calls as such.
        reasoning: Reasoning as such, at least in the last message.
        repeats: Several messages of one role in a row.
        assistant_first: A conversation that the assistant begins.
    """

    system: bool
    systems: bool
    system_inside: bool
    tool: bool
    calls: bool
    reasoning: bool
    repeats: bool
    assistant_first: bool

    @classmethod
    def of(cls, template: ChatTemplate) -> Abilities:
        """Find out what a template takes.

        Raises:
            PromptError: It refuses even a question and an answer.
        """
        template.render([_USER, _ASSISTANT])
        s, u, a, more = _SYSTEM, _USER, _ASSISTANT, {"role": "system", "content": "Secondinstruction"}
        calling = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        called = template.shows([u, calling], "sampletool", "samplename", "samplevalue")
        texts = [message["content"] for message in (s, u, a)]
        return cls(
            system=template.shows([s, u, a], *texts),
            systems=template.shows([s, more, u, a], texts[0], more["content"], *texts[1:]),
            system_inside=template.shows(
                [u, s, a, more, s, u, a],
                *(message["content"] for message in (u, s, a, more, s, u, a)),
            ),
            tool=template.shows([u, calling if called else a, _RESULT, a], texts[1], _RESULT["content"], texts[2]),
            calls=called,
            reasoning=template.shows([u, a | {"reasoning_content": "Samplethought"}], "Samplethought", texts[2]),
            repeats=template.shows([u, u, a, a, u], *(texts[n] for n in (1, 1, 2, 2, 1))),
            assistant_first=template.shows([a, u, a], *(texts[n] for n in (2, 1, 2))),
        )
