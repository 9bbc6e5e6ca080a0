"""The tokenizer of the server: encoding, decoding, ChatML turns, and its files for clients."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from memscope.server.compute.chat_prompt import ChatPrompts

__all__ = ["Detokenizer", "TokenizerView"]

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)


class TokenizerView:
    """A loaded tokenizer and the folder it came from."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        self._tokenizer = tokenizer
        self._folder = folder
        ids = tokenizer.get_vocab()
        self._turn_start = ids.get("<|im_start|>")
        self._turn_end = ids.get("<|im_end|>")

    @property
    def eos_ids(self) -> frozenset[int]:
        """The tokenizer's own end-of-sequence ids."""
        eos = self._tokenizer.eos_token_id
        return frozenset() if eos is None else frozenset({int(eos)})

    @property
    def chatml(self) -> bool:
        """Whether the vocabulary has ChatML's turn markers."""
        return self._turn_start is not None and self._turn_end is not None

    @cached_property
    def chat_prompts(self) -> ChatPrompts:
        """The chat template."""
        return ChatPrompts(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Encode a text prompt, with the special tokens that the tokenizer adds by itself."""
        return list(self._tokenizer.encode(text))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Decode ids; ids outside the tokenizer's vocabulary are ignored."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def token(self, token: int) -> str:
        """Decode one id by itself, special or not."""
        return self.decode([token], skip_special=False)

    def assistant_turns(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return [start, end) of every ChatML assistant turn: after the line "assistant", including `<|im_end|>`.

        An unfinished last turn extends to the end of the ids; an opened turn without ids is not included.
        """
        head = [self._turn_start, *self._tokenizer.encode("assistant\n", add_special_tokens=False)]
        ranges = []
        for position in range(len(ids) - len(head)):
            if list(ids[position : position + len(head)]) == head:
                start = position + len(head)
                ranges.append((start, self._end_of_turn(ids, start)))
        return ranges

    def _end_of_turn(self, ids: Sequence[int], start: int) -> int:
        return next((at + 1 for at in range(start, len(ids)) if ids[at] == self._turn_end), len(ids))

    def files(self) -> dict[str, str]:
        """Return the tokenizer's files by name, in the form of the fast tokenizers (`tokenizer.json` always)."""
        if (self._folder / "tokenizer.json").is_file():
            return _texts(self._folder / name for name in _FILES)
        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save_pretrained(folder)
            return _texts(Path(folder) / name for name in _FILES)

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a model folder."""
        for name, text in self.files().items():
            (folder / name).write_text(text, encoding="utf-8")


class Detokenizer:
    """Decodes ids incrementally; a character split over several tokens is returned with the last of them."""

    def __init__(self, tokenizer: TokenizerView) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._settled = 0  # ids before this one are never decoded again
        self._shown = ""

    def add(self, token: int) -> str:
        """Return the text added by this token; "" while a character is incomplete."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids[self._settled :])
        if text.endswith("\ufffd"):
            return ""
        return self._take(text)

    def rest(self) -> str:
        """Return the replacement character for an incomplete character at the end, if any."""
        return self._take(self._tokenizer.decode(self._ids[self._settled :]))

    def _take(self, text: str) -> str:
        new, self._shown = text[len(self._shown) :], text
        # Some tokenizers drop a leading space at the start of a text, so the last few ids stay as context.
        if len(self._ids) - self._settled > 16 and new:
            self._settled = len(self._ids) - 4
            self._shown = self._tokenizer.decode(self._ids[self._settled :])
        return new


def _texts(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in paths if path.is_file()}
