"""Chat messages as token ids, by the model's own chat template.

A text of a message never becomes a control token: a message that contains the characters `<|im_end|>` stays text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from memscope.server.errors import bad_request

__all__ = ["CHATML_TEMPLATE", "ChatPrompts", "chatml_template"]

_TURN_MARKERS = ("<|im_start|>", "<|im_end|>")
_SAMPLE = "Samplequestion"


def chatml_template(role: str) -> str:
    """Return a chat template that renders messages as ChatML, as memscope renders native sessions.

    Args:
        role: The Jinja expression of a message's role; the message is `m`.
    """
    return (
        "{% for m in messages %}<|im_start|>{{ " + role + " }}\n"
        "{% if m.get('reasoning_content') %}<think>\n{{ m['reasoning_content'] }}\n</think>\n{% endif %}"
        "{{ m.get('content') or '' }}"
        "{% for call in m.get('tool_calls') or [] %}<tool_call>\n"
        "{\"name\":{{ call['function']['name'] | tojson }},"
        "\"arguments\":{{ call['function']['arguments'] | tojson(separators=(',', ':')) }}}"
        "\n</tool_call>\n{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


CHATML_TEMPLATE = chatml_template("m['role']")
"""The template of tokenizers that have ChatML's turn markers but no template of their own."""


class ChatPrompts:
    """Renders conversations with a tokenizer's chat template and encodes them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._chatml = all(marker in vocabulary for marker in _TURN_MARKERS)
        control = {*tokenizer.all_special_tokens, *_TURN_MARKERS}
        self._control = {token: vocabulary[token] for token in control if token in vocabulary}
        longest_first = sorted(self._control, key=len, reverse=True)
        self._control_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> tuple[str, list[int]]:
        """Render messages and open the assistant's turn.

        Args:
            messages: Chat messages whose content is a string.
            tools: Tool definitions for the template.

        Returns:
            The text, and its ids.

        Raises:
            ApiError: There is no chat template, or it rejects these messages (400).
        """
        marks = _Marks(repr((messages, tools)), self._control_pattern)
        text = self._apply(marks.guarded(messages), marks.guarded(tools))
        return marks.restored(text), self._encode(text, marks)

    def _encode(self, text: str, marks: _Marks) -> list[int]:
        if not marks.replaced:
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        ids: list[int] = []
        at = 0
        for match in self._control_pattern.finditer(text):
            ids += self._plain(marks.restored(text[at : match.start()]))
            ids.append(self._control[match.group()])
            at = match.end()
        return ids + self._plain(marks.restored(text[at:]))

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _apply(self, messages: Any, tools: Any) -> str:
        if self._template is None:
            raise bad_request("this model has no chat template: use /v1/completions", "messages")
        if self._takes_blocks:
            messages = _as_blocks(messages)
        try:
            return self._rendered(messages, tools=tools or None, add_generation_prompt=True)
        except Exception as error:  # a template is a program and may raise any exception
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise bad_request(f"the model's chat template rejects these messages: {reason[0]}", "messages") from None

    def _rendered(self, messages: Any, **options: Any) -> str:
        template = self._template
        return str(self._tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options))

    @cached_property
    def _template(self) -> str | None:
        own = self._tokenizer.chat_template
        if isinstance(own, Mapping):  # several, by name
            own = own.get("default")
        return own or (CHATML_TEMPLATE if self._chatml else None)

    @cached_property
    def _takes_blocks(self) -> bool:
        """Whether contents must be lists of blocks, as templates of multimodal models expect."""
        sample = [{"role": "user", "content": _SAMPLE}]
        return not self._writes_sample(sample) and self._writes_sample(_as_blocks(sample))

    def _writes_sample(self, messages: Any) -> bool:
        try:
            return _SAMPLE in self._rendered(messages)
        except Exception:  # as above
            return False


class _Marks:
    """Placeholders for the characters of control tokens inside of texts.

    Attributes:
        replaced: The characters that were replaced, by the number of their placeholder.
    """

    def __init__(self, texts: str, control: re.Pattern[str]) -> None:
        self._control = control
        number = 0
        while (prefix := f"Control{number}x") in texts:
            number += 1
        self._prefix = prefix
        self._pattern = re.compile(prefix + r"(\d+)Z")
        self.replaced: list[str] = []

    def guarded(self, value: Any) -> Any:
        """Return a JSON value with placeholders in its strings."""
        if isinstance(value, str):
            return self._control.sub(self._replace, value)
        if isinstance(value, Mapping):
            return {self.guarded(name): self.guarded(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.guarded(inner) for inner in value]
        return value

    def restored(self, text: str) -> str:
        """Return a text with the characters instead of the placeholders."""
        return self._pattern.sub(lambda match: self.replaced[int(match.group(1))], text)

    def _replace(self, match: re.Match[str]) -> str:
        self.replaced.append(match.group())
        return f"{self._prefix}{len(self.replaced) - 1}Z"


def _as_blocks(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
