"""A tokenizer's chat template, and what it takes: found out by trying."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["Abilities", "ChatTemplate", "TemplateStyle"]

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


@dataclass(frozen=True, slots=True)
class TemplateStyle:
    """The form in which a template takes messages, and what it writes around answers.

    Attributes:
        blocks: Contents are lists of blocks, as templates of models with pictures want them.
        closing: What it writes once behind the last message when no turn is opened; it belongs to no message.
        opening: What it writes behind a question when it is asked to open the turn.
        header: What it writes in front of an answer where it opens no turns.
    """

    blocks: bool = False
    closing: str = ""
    opening: str = ""
    header: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]]) -> TemplateStyle:
        """Find out by trying."""
        texts = (_USER["content"], _ASSISTANT["content"])
        wants = {
            blocks: ChatTemplate(tokenizer, tools, cls(blocks)).writes([_USER, _ASSISTANT], *texts)
            for blocks in (False, True)
        }
        blocks = wants[True] and not wants[False]
        template = ChatTemplate(tokenizer, tools, cls(blocks))
        try:
            answered = template.render([_USER, _ASSISTANT])
            followed = template.render([_USER, _ASSISTANT, _USER])
            closing = _closing(answered, followed, tokenizer)
            asked, opened = (template.render([_USER], open_turn=opens) for opens in (False, True))
        except PromptError:
            return cls(blocks)
        asked = asked.removesuffix(closing)
        opening = opened.removeprefix(asked) if opened.startswith(asked) else ""
        return cls(blocks, closing, opening, "" if opening else _header(asked, answered))

    @property
    def thinks(self) -> bool:
        """Whether it opens the model's reasoning along with the turn."""
        return self.opening.rstrip().endswith("<think>")

    @property
    def introduces(self) -> bool:
        """Whether something stands in front of an answer even when nothing comes before it."""
        return bool(self.opening or self.header)


class ChatTemplate:
    """The template of a tokenizer, with the tool definitions of one session."""

    def __init__(
        self, tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]] = (), style: TemplateStyle | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._tools = tools
        self.style = TemplateStyle.of(tokenizer, tools) if style is None else style

    def render(self, messages: Sequence[Mapping[str, Any]], *, open_turn: bool = False) -> str:
        """Render messages, without what closes the conversation.

        Args:
            messages: Chat messages.
            open_turn: Open the assistant's next turn after them.

        Raises:
            PromptError: The template refuses them.
        """
        if self.style.blocks:
            messages = [m | {"content": [{"type": "text", "text": m["content"]}]} for m in map(dict, messages)]
        rendered = self._tokenizer.apply_template(messages, self._tools, add_generation_prompt=open_turn)
        return rendered if open_turn else rendered.removesuffix(self.style.closing)

    def writes(self, messages: Sequence[Mapping[str, Any]], *texts: str) -> bool:
        """Whether the template takes these messages and writes these texts, in this order."""
        return self._writes(messages, texts, open_turn=False)

    def writes_before_turn(self, messages: Sequence[Mapping[str, Any]], *texts: str) -> bool:
        """The same in front of an opened turn."""
        return self._writes(messages, texts, open_turn=True)

    def _writes(self, messages: Sequence[Mapping[str, Any]], texts: Sequence[str], *, open_turn: bool) -> bool:
        try:
            rendered = self.render(messages, open_turn=open_turn)
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
        reasoning: Reasoning as such: it writes it at least in the last message, or opens it for the model to write.
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
        called = template.writes([u, calling], "sampletool", "samplename", "samplevalue")
        texts = [message["content"] for message in (s, u, a)]
        return cls(
            # Some templates write the system message only in front of the last question.
            system=template.writes([s, u, a], *texts) or template.writes_before_turn([s, u], *texts[:2]),
            systems=template.writes([s, more, u, a], texts[0], more["content"], *texts[1:]),
            system_inside=template.writes(
                [u, s, a, more, s, u, a],
                *(message["content"] for message in (u, s, a, more, s, u, a)),
            ),
            tool=template.writes([u, calling if called else a, _RESULT, a], texts[1], _RESULT["content"], texts[2]),
            calls=called,
            reasoning=template.style.thinks
            or template.writes([u, a | {"reasoning_content": "Samplethought"}], "Samplethought", texts[2]),
            repeats=template.writes([u, u, a, a, u], *(texts[n] for n in (1, 1, 2, 2, 1))),
            assistant_first=template.style.introduces and template.writes([a, u, a], *(texts[n] for n in (2, 1, 2))),
        )

    def lesser(self) -> Iterator[Abilities]:
        """Yield these abilities, then fewer and fewer, for templates that refuse some combination of them."""
        yield self
        fewer = (
            {"assistant_first": False},
            {"reasoning": False},
            {"calls": False},
            {"reasoning": False, "calls": False},
            {"reasoning": False, "calls": False, "tool": False},
            {name: False for name in self.__slots__ if name != "system"},
        )
        for names in fewer:
            if any(getattr(self, name) for name in names):
                yield replace(self, **names)


def _header(asked: str, answered: str) -> str:
    """Return what stands between a question and an answer; "" where it says nothing, as after [/INST]."""
    if not answered.startswith(asked):
        return ""
    header = answered[len(asked) :].partition(_ASSISTANT["content"])[0]
    return header if any(map(str.isalpha, header)) else ""


def _closing(ended: str, followed: str, tokenizer: Tokenizer) -> str:
    """Return what stands behind the last message of a conversation and not behind the same message further up.

    Args:
        ended: A question and an answer.
        followed: The same and another question.
        tokenizer: The tokenizer, for its control tokens.
    """
    answer = _ASSISTANT["content"]
    if answer not in ended or answer not in followed:
        return ""
    control = re.compile(f"({'|'.join(map(re.escape, tokenizer.control_texts)) or '(?!)'})")
    tail, frame = (control.split(text[text.rindex(answer) + len(answer) :]) for text in (ended, followed))
    opening = next(iter(control.findall(followed.removeprefix(tokenizer.bos_text))), None)
    kept: list[str] = []
    for mine, other in zip(tail, frame, strict=False):
        if mine != other or mine == opening:
            break
        kept.append(mine)
    if kept == tail or not any(map(control.fullmatch, kept)):
        return ""  # nothing closes, or the end of the turn itself is written differently
    return "".join(tail[len(kept) :])
