"""Text to token ids and back, with one promise: text never becomes a control token.

A message that contains the characters `<|im_end|>` stays text. Control tokens are all special tokens of the tokenizer
and ChatML's turn markers; only memscope and the chat template write them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from memscope.errors import PromptError
from memscope.prompt.pretrained import fetch_folder, load_pretrained

__all__ = ["Tokenizer"]

_TURN_MARKERS = ("<|im_start|>", "<|im_end|>")
_SURROGATES = re.compile("[\ud800-\udfff]")
_PATH_LIKE = re.compile(r"^[./~]|[/\\].*[/\\]|[/\\]$")


class Tokenizer:
    """The tokenizer of a model.

    Attributes:
        vocab_size: The largest id + 1, added tokens included.
        chatml: Whether it has ChatML's turn markers.
        control: Ids that text never becomes.
        fingerprint: Changes with everything that decides ids: the vocabulary, the rules, the template.
    """

    def __init__(self, raw: tokenizers.Tokenizer, folder: Path, pretrained: Any = None) -> None:
        """Take a tokenizer; `load` is the way to get one.

        Args:
            raw: The fast tokenizer; it belongs to this object from now on.
            folder: Where it came from.
            pretrained: The same as `transformers` loads it, where that was needed already.
        """
        raw.no_truncation()
        raw.no_padding()
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
            name: A folder (with `tokenizer.json`, or another form that `transformers` knows) or a hub name.

        Raises:
            PromptError: There is none, in one line that says what to do.
        """
        folder = _folder(name)
        if (file := folder / "tokenizer.json").is_file():
            try:
                raw = tokenizers.Tokenizer.from_file(str(file))
            except Exception as error:  # the library raises nothing more specific
                raise PromptError(f"{file}: not a tokenizer ({error})") from error
            if _has_all(raw, _configured_tokens(folder)) and None not in map(raw.token_to_id, _TURN_MARKERS):
                return cls(raw, folder)
        pretrained = load_pretrained(folder)
        backend = getattr(pretrained, "backend_tokenizer", None)
        if backend is None:
            raise PromptError(f"{folder}: this tokenizer has no fast form; convert it to a tokenizer.json first")
        return cls(tokenizers.Tokenizer.from_str(backend.to_str()), folder, pretrained)

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's own chat template, if it has one."""
        template = self._transformers.chat_template
        if isinstance(template, Mapping):  # several, by name
            template = template.get("default")
        return None if template is None else str(template)

    def encode(self, text: str) -> list[int]:
        """Encode a text; the ids hold no control token, whatever the text says.

        Raises:
            PromptError: The tokenizer has a control token of a single character of the text.
        """
        ids = self._ids(text)
        return ids if self.control.isdisjoint(ids) else self._split(text)

    def token_id(self, token: str) -> int | None:
        """Return the id of a token by its own text, or None."""
        return self._raw.token_to_id(token)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, control tokens included; ids outside the vocabulary give nothing."""
        return self._raw.decode(list(ids), skip_special_tokens=False)

    def token_texts(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return one text a token; joined they are `decode(ids)`.

        A character split over tokens stands at the token that completes it, the others have "".
        """
        whole = self.decode(ids)
        texts: list[str] = []
        context, settled, at = 0, 0, 0  # [context, settled) was shown; it is decoded along for what depends on it
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
        """Render chat messages with the tokenizer's own template, exactly as `transformers` does.

        Raises:
            PromptError: There is no template, or it refuses these messages.
        """
        if self.chat_template is None:
            raise PromptError(f"{self._folder}: this tokenizer has neither <|im_start|>/<|im_end|> nor a chat template")
        try:
            return str(
                self._transformers.apply_chat_template(
                    [dict(message) for message in messages],
                    tools=[dict(tool) for tool in tools] if tools else None,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                )
            )
        except Exception as error:  # a template is a program and may raise anything
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise PromptError(f"{self._folder}: the chat template refuses this conversation: {reason[0]}") from error

    @property
    def _transformers(self) -> Any:
        if self._pretrained is None:
            self._pretrained = load_pretrained(self._folder)
        return self._pretrained

    def _ids(self, text: str) -> list[int]:
        try:
            return self._raw.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):  # half a character, which no encoding can write
            return self._raw.encode(_SURROGATES.sub("�", text), add_special_tokens=False).ids

    def _split(self, text: str) -> list[int]:
        """Encode a text whose plain encoding has a control token, by cutting the text inside of it."""
        encoding = self._raw.encode(_SURROGATES.sub("�", text), add_special_tokens=False)
        cuts = [0]
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if number not in self.control or (number == self._unknown and text[start:end] != self._unknown_text):
                continue
            if end - start < 2:
                raise PromptError(f"{self._folder}: the text {text[start:end]!r} is a control token of this tokenizer")
            cuts.append((start + end) // 2)
        if len(cuts) == 1:
            return encoding.ids
        parts = (text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True))
        return [number for part in parts for number in self.encode(part)]

    @property
    def _unknown_text(self) -> str:
        return str(getattr(self._raw.model, "unk_token", None))

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(self._raw.to_str().encode(), digest_size=16)
        digest.update(_template_source(self._folder).encode())
        return digest.hexdigest()


def _folder(name: str | Path) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if isinstance(name, Path) or path.exists() or _PATH_LIKE.search(name):
        raise PromptError(f"{name}: not a folder; give a folder with a tokenizer.json, or a hub name")
    return fetch_folder(name)


def _json_object(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PromptError(f"{file}: not valid JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def _configured_tokens(folder: Path) -> dict[str, int]:
    """Return the tokens that a folder's configuration adds; old folders have some that tokenizer.json lacks."""
    decoder = _json_object(folder / "tokenizer_config.json").get("added_tokens_decoder")
    tokens = _json_object(folder / "added_tokens.json")
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and number.isdigit():
            tokens[str(token.get("content"))] = int(number)
    return tokens


def _has_all(raw: tokenizers.Tokenizer, tokens: Mapping[str, int]) -> bool:
    return all(raw.token_to_id(text) == number for text, number in tokens.items())


def _template_source(folder: Path) -> str:
    """Return the text from which the chat template comes; "" without one."""
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text(encoding="utf-8")
    return json.dumps(_json_object(folder / "tokenizer_config.json").get("chat_template"), sort_keys=True)
