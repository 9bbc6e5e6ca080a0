"""Evaluate how well the bundled model uses its memories: `python -m memscope.demo.build.evaluate [FOLDER]`.

All sessions are from seeds that training never uses. *Recall*: teacher-forced, every token of a value that is asked for
the first time is the most probable one. *Rank*: of all memories before a response, leaving out the needed ones costs it
the most. *Don't know*: asked with memories removed, the model says that it does not know, and nothing else, in greedy
decoding.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from memscope.demo import model_folder
from memscope.demo.build.generator import ASKS_BACK, Block, Shape, make_session
from memscope.demo.build.tokens import END, START, encode_sessions

__all__ = ["Evaluator", "Tally", "held_out", "is_dont_know_answer", "main"]

_HELD_OUT = 1_000_000
_LONGEST_ANSWER = 60
_ASKED = ("fact", "two")


@dataclass
class Tally:
    """Hits and tries, by name."""

    hits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    tries: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, name: str, hit: bool) -> None:
        """Count one try, under its name and under "all"."""
        for each in (name, "all"):
            self.hits[each] += hit
            self.tries[each] += 1

    def share(self, name: str = "all") -> float:
        """Return hits over tries; 0 where nothing was tried."""
        return self.hits[name] / self.tries[name] if self.tries[name] else 0.0

    def __str__(self) -> str:
        """Return all shares with their counts."""
        names = ["all", *sorted(name for name in self.tries if name != "all")]
        return "  ".join(f"{name} {self.share(name):.3f} ({self.hits[name]}/{self.tries[name]})" for name in names)


class Evaluator:
    """A model folder and the measures on it."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.train(False)

    def recall(self, sessions: Iterable[Sequence[Block]]) -> Tally:
        """Return how often a value asked for the first time is the most probable text, by sort of turn."""
        tally = Tally()
        for blocks in sessions:
            (encoded,) = encode_sessions(self.tokenizer, [blocks])
            best = self._logits(encoded.ids).argmax(-1)
            wanted = torch.tensor(encoded.ids)
            for number, start, end in encoded.values:
                if not blocks[number].again:
                    right = bool((best[start - 1 : end - 1] == wanted[start:end]).all())
                    tally.add(blocks[number].kind, right)
        return tally

    def rank(self, sessions: Iterable[Sequence[Block]]) -> tuple[Tally, float, float]:
        """Return how often the needed memories cost a response the most when left out.

        Also the mean divergence of needed memories and the mean magnitude of all others, in nats.
        """
        tally, needed, others = Tally(), list[float](), list[float]()
        for blocks in sessions:
            whole = self._answers(blocks)
            keys = list(dict.fromkeys(block.key for block in blocks if block.role == "memory"))
            less = {key: self._answers([b for b in blocks if b.key != key or b.role != "memory"]) for key in keys}
            for nth, (answer, logprob) in enumerate(whole):
                if answer.again or not answer.needs:
                    continue
                change = {key: logprob - less[key][nth][1] for key in keys}
                top = sorted(change, key=lambda key: -change[key])[: len(answer.needs)]
                tally.add(answer.kind, set(top) == set(answer.needs))
                needed += [change[key] for key in answer.needs]
                others += [abs(value) for key, value in change.items() if key not in answer.needs]
        return tally, _mean(needed), _mean(others)

    def says_it_does_not_know(self, sessions: Iterable[Sequence[Block]], *, everything: bool) -> Tally:
        """Return how often the model says that it does not know, with all or only the needed memories removed."""
        tally = Tally()
        for blocks in sessions:
            keys = {block.key for block in blocks if block.role == "memory"}
            for number, answer in enumerate(blocks):
                if answer.kind not in _ASKED or answer.again:
                    continue
                gone = keys if everything else set(answer.needs)
                before = [b for b in blocks[:number] if not (b.role == "memory" and b.key in gone)]
                said = self.greedy(before)
                tally.add(answer.kind, is_dont_know_answer(said, answer))
        return tally

    def greedy(self, blocks: Sequence[Block]) -> str:
        """Return the model's next turn, greedily decoded."""
        (encoded,) = encode_sessions(self.tokenizer, [blocks])
        ids = [*encoded.ids, START, *self.tokenizer.encode("assistant\n").ids]
        prompt = torch.tensor([ids])
        with torch.inference_mode():
            out = self.model.generate(  # type: ignore[operator]
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=_LONGEST_ANSWER,
                do_sample=False,
                eos_token_id=END,
                pad_token_id=0,
            )
        return str(self.tokenizer.decode(out[0, len(ids) :].tolist()))

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self.model(torch.tensor([ids])).logits[0]
        return logits

    def _answers(self, blocks: Sequence[Block]) -> list[tuple[Block, float]]:
        (encoded,) = encode_sessions(self.tokenizer, [blocks])
        logprobs = self._logits(encoded.ids).log_softmax(-1)
        ids = torch.tensor(encoded.ids)
        return [
            (blocks[number], logprobs[start - 1 : end - 1].gather(-1, ids[start:end, None]).sum().item())
            for number, start, end in encoded.answers
        ]


def is_dont_know_answer(said: str, answer: Block) -> bool:
    """Return whether the model says of each part asked for that it does not know it, by its name, and nothing else."""
    return said.removesuffix(ASKS_BACK) == " ".join(unknown for _, unknown in answer.parts)


def held_out(count: int, shape: Shape, seed: int = _HELD_OUT) -> list[list[Block]]:
    """Return sessions that training never sees."""
    return [make_session(Random(f"held out {seed + n}"), shape) for n in range(count)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m memscope.demo.build.evaluate", description="Print the model's figures."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=model_folder(), help="model folder (the bundled one)")
    parser.add_argument("--sessions", type=int, default=40, help="sessions for each measure (default: 40)")
    parser.add_argument("--memories", type=int, default=20, help="memories a session (default: 20)")
    parser.add_argument("--seed", type=int, default=_HELD_OUT, help="of the first session")
    options = parser.parse_args()
    torch.set_num_threads(1)
    evaluator = Evaluator(options.folder)
    sessions = held_out(options.sessions, Shape(options.memories, 8), options.seed)
    sys.stdout.write(f"{options.sessions} held-out sessions of {options.memories} memories, from seed {options.seed}\n")
    _line("first-ask recall", evaluator.recall(sessions))
    tally, needed, others = evaluator.rank(sessions[: max(1, options.sessions // 2)])
    _line("needed memory ranks first", tally)
    sys.stdout.write(f"  needed {needed:.2f} nats in the mean, others {others:.3f} (magnitude)\n")
    _line("all removed: does not know", evaluator.says_it_does_not_know(sessions, everything=True))
    _line("needed removed: does not know", evaluator.says_it_does_not_know(sessions, everything=False))
    return 0


def _line(name: str, tally: Tally) -> None:
    sys.stdout.write(f"{name:<30} {tally}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
