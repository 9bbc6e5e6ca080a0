"""A tokenizer's chat template and its capabilities, which are determined by rendering sample messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "TemplateCapabilities", "TemplateStyle"]

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
    """The message format that a template expects, and what it writes around assistant turns.

    Attributes:
        blocks: Message contents are lists of blocks, as templates of multimodal models expect.
        closing: Text written once after the last message if no turn is opened; it belongs to no message.
        opening: Text written after a question to open the assistant turn.
        header: Text written before an answer, if the template does not open turns.
    """

    blocks: bool = False
    closing: str = ""
    opening: str = ""
    header: str = ""

    @classmethod
    def of(cls, tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]]) -> TemplateStyle:
        """Determine the style by rendering sample messages."""
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
        """Whether opening the turn also opens the model's reasoning."""
        return self.opening.rstrip().endswith("<think>")

    @property
    def introduces(self) -> bool:
        """Whether something is written before an answer even if no message precedes it."""
        return bool(self.opening or self.header)


class ChatTemplate:
    """A tokenizer's chat template, with the tool definitions of one session."""

    def __init__(
        self, tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]] = (), style: TemplateStyle | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._tools = tools
        self.style = TemplateStyle.of(tokenizer, tools) if style is None else style

    def render(self, messages: Sequence[Mapping[str, Any]], *, open_turn: bool = False) -> str:
        """Render messages, without the closing of the conversation.

        Args:
            messages: Chat messages.
            open_turn: Open the next assistant turn.

        Raises:
            PromptError: The template rejects them.
        """
        if self.style.blocks:
            messages = [m | {"content": [{"type": "text", "text": m["content"]}]} for m in map(dict, messages)]
        rendered = self._tokenizer.apply_template(messages, self._tools, add_generation_prompt=open_turn)
        return rendered if open_turn else rendered.removesuffix(self.style.closing)

    def writes(self, messages: Sequence[Mapping[str, Any]], *texts: str) -> bool:
        """Return whether the template accepts these messages and writes these texts, in this order."""
        return self._writes(messages, texts, open_turn=False)

    def writes_before_turn(self, messages: Sequence[Mapping[str, Any]], *texts: str) -> bool:
        """As `writes`, before an opened assistant turn."""
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
class TemplateCapabilities:
    """What a template supports.

    Attributes:
        system: A leading system message.
        systems: Several leading system messages.
        system_inside: System messages anywhere in the conversation, rendered in place.
        tool: The role `tool`.
        calls: Tool calls.
        reasoning: Reasoning: it is rendered at least in the last message, or opened for the model to write.
        repeats: Consecutive messages of one role.
        assistant_first: A conversation that begins with an assistant message.
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
    def of(cls, template: ChatTemplate) -> TemplateCapabilities:
        """Determine the capabilities of a template.

        Raises:
            PromptError: It rejects even a question and an answer.
        """
        template.render([_USER, _ASSISTANT])
        s, u, a, more = _SYSTEM, _USER, _ASSISTANT, {"role": "system", "content": "Secondinstruction"}
        calling = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        called = template.writes([u, calling], "sampletool", "samplename", "samplevalue")
        texts = [message["content"] for message in (s, u, a)]
        return cls(
            # Some templates write the system message only before the last question.
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

    def reductions(self) -> Iterator[TemplateCapabilities]:
        """Yield these capabilities, then smaller and smaller sets, for templates that reject some combinations."""
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
    """Return the text between a question and an answer; "" if it is only whitespace, as after [/INST]."""
    if not answered.startswith(asked):
        return ""
    header = answered[len(asked) :].partition(_ASSISTANT["content"])[0]
    return header if any(map(str.isalpha, header)) else ""


def _closing(ended: str, followed: str, tokenizer: Tokenizer) -> str:
    """Return what a template writes after the last message of a conversation but not after earlier messages.

    Args:
        ended: The rendering of a question and an answer.
        followed: The rendering of the same and another question.
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
        return ""  # there is no closing, or the end of the turn itself differs
    return "".join(tail[len(kept) :])
