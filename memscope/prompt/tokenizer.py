"""Encode text as token ids and decode it, guaranteeing that text never becomes a control token.

A message that contains the characters `<|im_end|>` remains text. Control tokens are all special tokens of the tokenizer
and ChatML's turn markers; only memscope and the chat template may produce them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from memscope.errors import PromptError
from memscope.prompt.pretrained import load_pretrained
from memscope.prompt.tokenizer_folder import configured_tokens, resolve_folder, template_source

__all__ = ["Tokenizer"]

_TURN_MARKERS = ("<|im_start|>", "<|im_end|>")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """The tokenizer of a model.

    Attributes:
        vocab_size: The largest id + 1, including added tokens.
        chatml: Whether it has ChatML's turn markers.
        control: Ids that text never becomes.
        fingerprint: A hash of everything that determines ids: the vocabulary, the rules, the template.
    """

    def __init__(self, raw: tokenizers.Tokenizer, folder: Path, pretrained: Any = None) -> None:
        """Wrap a tokenizer; use `load` to create one.

        Args:
            raw: The fast tokenizer; it is modified by this object.
            folder: The folder it was loaded from.
            pretrained: The same tokenizer as loaded by `transformers`, if it was needed already.
        """
        raw.no_truncation()
        raw.no_padding()
        raw.post_processor = None  # it would trim spaces from the offsets
        raw.encode_special_tokens = True
        self._raw = raw
        self._folder = folder
        self._pretrained = pretrained
        vocabulary = raw.get_vocab(with_added_tokens=True)
        special = {number for number, token in raw.get_added_tokens_decoder().items() if token.special}
        markers = [vocabulary[text] for text in _TURN_MARKERS if text in vocabulary]
        self.vocab_size = max(vocabulary.values(), default=-1) + 1
        self.chatml = len(markers) == len(_TURN_MARKERS)
        self.control = frozenset(special.union(markers))
        self._unknown = raw.token_to_id(getattr(raw.model, "unk_token", None) or "")
        self.fingerprint = self._fingerprint()

    @classmethod
    def load(cls, name: str | Path) -> Tokenizer:
        """Load a tokenizer.

        Args:
            name: A folder (with `tokenizer.json`, or another format that `transformers` supports) or a hub name.

        Raises:
            PromptError: It cannot be loaded; the message says what to do.
        """
        folder = resolve_folder(name)
        if (file := folder / "tokenizer.json").is_file():
            try:
                raw = tokenizers.Tokenizer.from_file(str(file))
            except Exception as error:  # the library does not raise a more specific exception
                raise PromptError(f"{file}: not a tokenizer ({error})") from error
            if _has_all(raw, configured_tokens(folder)) and None not in map(raw.token_to_id, _TURN_MARKERS):
                return cls(raw, folder)
        pretrained = load_pretrained(folder)
        backend = getattr(pretrained, "backend_tokenizer", None)
        if backend is None:
            raise PromptError(f"{folder}: this tokenizer has no fast form; convert it to a tokenizer.json first")
        return cls(tokenizers.Tokenizer.from_str(backend.to_str()), folder, pretrained)

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's chat template, if it has one."""
        template = self._transformers.chat_template
        if isinstance(template, Mapping):  # several, by name
            template = template.get("default")
        return None if template is None else str(template)

    @property
    def bos_text(self) -> str:
        """The text of the beginning-of-text token, or ""."""
        return str(getattr(self._transformers, "bos_token", None) or "")

    def encode(self, text: str) -> list[int]:
        """Encode a text without ever producing a control token.

        Raises:
            PromptError: A single character of the text is a control token of this tokenizer.
        """
        ids = self._ids(text)
        return ids if self.control.isdisjoint(ids) else self._split(text)

    def parse(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Encode a text in which control tokens are recognised; only for the output of a chat template.

        Returns:
            The ids, and the [start, end) characters of each of them.
        """
        encoding = self._parser.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def parse_beginning(self, text: str) -> list[int]:
        """Encode the raw text of a completion as servers do: with control tokens, and those that begin every text."""
        return [*self._beginning, *self.parse(text)[0]]

    def is_control(self, number: int, text: str) -> bool:
        """Return whether an id for this text is a control token, and not an unknown character."""
        return number in self.control and (number != self._unknown or text == self.control_names[number])

    def token_id(self, token: str) -> int | None:
        """Return the id of a token by its text, or None."""
        return self._raw.token_to_id(token)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, including control tokens; ids outside the vocabulary are ignored."""
        return self._raw.decode(list(ids), skip_special_tokens=False)

    def token_texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each token; joined they are `decode(ids)`.

        A character that is split over several tokens is assigned to the token that completes it; the others have "".
        """
        whole = self.decode(ids)
        texts: list[str] = []
        context, settled, at = 0, 0, 0  # [context, settled) is already returned, and decoded again as context
        for end in range(1, len(ids) + 1):
            shown = len(self.decode(ids[context:settled]))
            text = self.decode(ids[context:end])[shown:]
            if end == len(ids):
                text = whole[at:]
            elif text.endswith("�") or not whole.startswith(text, at):
                text = ""
            if text:
                context, settled = settled, end
                at += len(text)
            texts.append(text)
        return tuple(texts)

    def apply_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> str:
        """Render chat messages with the tokenizer's template, exactly as `transformers` does.

        Raises:
            PromptError: There is no template, or it rejects these messages.
        """
        if self.chat_template is None:
            raise PromptError(f"{self._folder}: this tokenizer has no chat template")
        try:
            return str(
                self._transformers.apply_chat_template(
                    [dict(message) for message in messages],
                    tools=[dict(tool) for tool in tools] if tools else None,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                )
            )
        except ImportError as error:
            raise PromptError(
                "this model's chat template needs jinja2, which is not installed: pip install jinja2"
            ) from error
        except Exception as error:  # a template is a program and may raise any exception
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise PromptError(f"{self._folder}: the chat template rejects this conversation: {reason[0]}") from error

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """The texts of the control tokens, longest first."""
        return tuple(sorted(self.control_names.values(), key=len, reverse=True))

    @cached_property
    def control_names(self) -> dict[int, str]:
        """The text of each control token by its id."""
        return {number: self._raw.id_to_token(number) or "" for number in self.control}

    @cached_property
    def cut_points(self) -> tuple[str, ...]:
        """The texts of control tokens before which a text can be cut without changing its ids, longest first."""
        tokens = self._raw.get_added_tokens_decoder()
        bound = {token.content for token in tokens.values() if token.lstrip or token.normalized}
        return tuple(text for text in self.control_texts if text not in bound)

    @cached_property
    def without_prefix_space(self) -> Tokenizer:
        """The same tokenizer for text in the middle of another text: it adds no leading space."""
        rules: dict[str, Any] = {"normalizer": normalizers.Sequence([]), "pre_tokenizer": pre_tokenizers.Sequence([])}
        changed = {}
        for name, rule in rules.items():
            state = _state(getattr(self._raw, name))
            if (without := _without_prefix(state)) != state:
                rule.__setstate__(json.dumps(without).encode())
                changed[name] = rule
        if not changed:
            return self
        raw = tokenizers.Tokenizer.from_str(self._raw.to_str())
        for name, rule in changed.items():
            setattr(raw, name, rule)
        return Tokenizer(raw, self._folder, self._pretrained)

    @cached_property
    def _beginning(self) -> tuple[int, ...]:
        """The ids that the tokenizer adds before every text."""
        sample = "a"
        plain, full = (self._transformers.encode(sample, add_special_tokens=added) for added in (False, True))
        at = next((n for n in range(len(full)) if full[n : n + len(plain)] == plain), 0)
        return tuple(full[:at])

    @cached_property
    def _parser(self) -> tokenizers.Tokenizer:
        parser = tokenizers.Tokenizer.from_str(self._raw.to_str())
        parser.encode_special_tokens = False
        return parser

    @property
    def _transformers(self) -> Any:
        if self._pretrained is None:
            self._pretrained = load_pretrained(self._folder)
        return self._pretrained

    def _ids(self, text: str) -> list[int]:
        try:
            return self._raw.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):  # half of a surrogate pair, which cannot be encoded
            return self._raw.encode(_SURROGATES.sub("�", text), add_special_tokens=False).ids

    def _split(self, text: str) -> list[int]:
        """Encode a text whose plain encoding has a control token, by cutting the text inside the token."""
        encoding = self._raw.encode(_SURROGATES.sub("�", text), add_special_tokens=False)
        cuts = [0]
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if not self.is_control(number, text[start:end]):
                continue
            if end - start < 2:
                raise PromptError(f"{self._folder}: the text {text[start:end]!r} is a control token of this tokenizer")
            cuts.append((start + end) // 2)
        if len(cuts) == 1:
            return encoding.ids
        parts = (text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True))
        return [number for part in parts for number in self.encode(part)]

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(self._raw.to_str().encode(), digest_size=16)
        digest.update(template_source(self._folder).encode())
        return digest.hexdigest()


def _has_all(raw: tokenizers.Tokenizer, tokens: Mapping[str, int]) -> bool:
    return all(raw.token_to_id(text) == number for text, number in tokens.items())


def _state(rule: Any) -> Any:
    """Return the description of a normalizer or pre-tokenizer as in tokenizer.json."""
    return json.loads(rule.__getstate__()) if rule is not None else None


def _without_prefix(state: Any) -> Any:
    """Return the same description without the parts that add a leading space."""
    if isinstance(state, list):
        kept = (part for part in state if not (isinstance(part, dict) and part.get("type") == "Prepend"))
        return [_without_prefix(part) for part in kept]
    if not isinstance(state, dict):
        return state
    if state.get("type") == "Prepend":
        return {"type": "Sequence", "normalizers": []}
    plain = {"prepend_scheme": "never", "add_prefix_space": False}
    return {name: plain[name] if name in plain else _without_prefix(value) for name, value in state.items()}
