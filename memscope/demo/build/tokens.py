"""Sessions as token ids, node by node, exactly as memscope renders them: no id depends on a neighbouring node."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tokenizers import Encoding, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from memscope.demo.build.generator import Block

__all__ = ["Encoded", "encode_sessions", "train_tokenizer"]

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
START, END = 1, 2
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(slots=True)
class Encoded:
    """One session in ids.

    Attributes:
        ids: The tokens.
        answers: For each answer, (number of its block, start, end): from its first token through its end marker.
        values: For each value an answer states, (number of its block, start, end) of the tokens that overlap it.
        memories: For each memory, (key, start, end) of its whole turn.
    """

    ids: list[int] = field(default_factory=list)
    answers: list[tuple[int, int, int]] = field(default_factory=list)
    values: list[tuple[int, int, int]] = field(default_factory=list)
    memories: list[tuple[str, int, int]] = field(default_factory=list)


def train_tokenizer(texts: Sequence[str], size: int) -> Tokenizer:
    """Train a byte-level BPE in which every digit stands alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=8,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_sessions(tokenizer: Tokenizer, sessions: Sequence[Sequence[Block]]) -> list[Encoded]:
    """Encode sessions, all of their texts in one batch."""
    texts = [text for blocks in sessions for block in blocks for text in (f"{block.role}\n", block.text)]
    encodings = iter(tokenizer.encode_batch(texts, add_special_tokens=False))
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    return [_encoded(blocks, encodings, newline) for blocks in sessions]


def _encoded(blocks: Sequence[Block], encodings: Iterator[Encoding], newline: list[int]) -> Encoded:
    session = Encoded()
    for number, block in enumerate(blocks):
        opened = len(session.ids)
        role, body = next(encodings), next(encodings)
        session.ids += [START, *role.ids]
        start = len(session.ids)
        session.ids += [*body.ids, END]
        end = len(session.ids)
        session.ids += newline
        if block.role == "assistant":
            session.answers.append((number, start, end))
            session.values += _values(number, start, block, body.offsets)
        elif block.role == "memory":
            session.memories.append((block.key, opened, len(session.ids)))
    return session


def _values(number: int, start: int, block: Block, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    starts, ends = [a for a, _ in offsets], [b for _, b in offsets]
    found = []
    after = 0
    for value in block.values:
        at = block.text.find(value, after)
        if at >= 0:
            after = at + len(value)
            found.append((number, start + bisect_right(ends, at), start + bisect_left(starts, after)))
    return found
