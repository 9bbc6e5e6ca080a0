"""Train the bundled model: `python -m memscope.demo.build.train FOLDER`.

The same seed gives the same sessions, batches and steps; a run that is stopped continues from its last checkpoint to
the same weights. Two processes with one thread each share the work, which on two cores is twice as fast as one process
with two threads.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

# Set before torch is imported: threads that spin while they wait starve the other process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from tokenizers import Tokenizer
from torch import nn
from torch.multiprocessing.spawn import spawn
from transformers import Qwen3Config, Qwen3ForCausalLM

from memscope.demo.build.export import export_model
from memscope.demo.build.generator import Block, Shape, make_session
from memscope.demo.build.init_weights import ROPE_THETA, init_weights
from memscope.demo.build.removal import training_session
from memscope.demo.build.tokens import encode_sessions, train_tokenizer

__all__ = ["Recipe", "TrainingStage", "main", "train"]

_MIN_RATE_SHARE = 0.02
"""Minimum learning rate as a share of the full rate."""

_MATRIX_DECAY = 0.01
"""Muon's weight decay."""

_VALUE_WEIGHT = 4.0
"""Loss weight of a token of a value that occurs only in memories."""


@dataclass(frozen=True)
class TrainingStage:
    """A part of training.

    Attributes:
        steps: Number of steps.
        memories: Minimum and maximum number of facts per session.
        turns: Minimum and maximum number of exchanges per session.
        rich: Whether to include all kinds of turns and sessions with removed memories.
        tokens: Approximate number of tokens per step.
        forget: Share of sessions in which a needed memory is removed.
        together: Whether to remove all memories that an answer needs together.
        rate: For finishing stages, the initial share of the full learning rate, which then follows a cosine.
    """

    steps: int
    memories: tuple[int, int]
    turns: tuple[int, int]
    rich: bool
    tokens: int
    forget: float = 0.28
    together: bool = False
    rate: float | None = None


@dataclass(frozen=True)
class Recipe:
    """All settings that determine the result.

    Attributes:
        stages: The stages in order. Sessions grow from stage to stage. Finishing stages remove many needed memories,
            so that the model learns not to substitute similar ones.
        seed: Seed of the data and the weights.
        vocabulary: Size of the tokenizer.
        rate: AdamW's learning rate, for embeddings and norms.
        matrix_rate: Muon's learning rate, for matrices.
        warm: Number of warm-up steps to the full rate.
        hold: Share of the steps before the finishing stages at the full rate; the rest falls along a cosine.
        processes: Number of processes that share a batch.
    """

    stages: tuple[TrainingStage, ...] = (
        TrainingStage(150, (3, 5), (4, 6), False, 4096),
        TrainingStage(450, (4, 10), (5, 8), True, 6144),
        TrainingStage(700, (8, 20), (6, 10), True, 6144),
        TrainingStage(500, (12, 30), (8, 14), True, 8192),
        TrainingStage(500, (12, 26), (8, 12), True, 8192, forget=0.6, rate=0.35),
        TrainingStage(300, (12, 26), (8, 12), True, 8192, forget=0.6, together=True, rate=0.2),
    )
    seed: int = 0
    vocabulary: int = 1536
    rate: float = 2e-3
    matrix_rate: float = 0.02
    warm: int = 50
    hold: float = 0.45
    processes: int = 2

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> TrainingStage:
        """Return the stage of a step."""
        return self._placed(step)[0]

    def rate_factor(self, step: int) -> float:
        """Return the factor on both learning rates at a step."""
        whole = sum(stage.steps for stage in self.stages if stage.rate is None)
        if step < whole:
            done = step / whole
            if done < self.hold:
                return min(1.0, (step + 1) / self.warm)
            return max(_MIN_RATE_SHARE, _cosine((done - self.hold) / (1 - self.hold)))
        stage, first = self._placed(step)
        return max(_MIN_RATE_SHARE, (stage.rate or 1.0) * _cosine((step - first) / stage.steps))

    def _placed(self, step: int) -> tuple[TrainingStage, int]:
        first = 0
        for stage in self.stages:
            if step < first + stage.steps:
                return stage, first
            first += stage.steps
        raise ValueError(f"step {step} is past the end")


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def configuration(vocabulary: int) -> Qwen3Config:
    """Return the architecture: 4 layers, 128 wide, about 1.3 million parameters."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    config._attn_implementation = "sdpa"
    return config


def _texts(seed: int, sessions: int) -> list[str]:
    random = Random(seed)
    return [
        text
        for _ in range(sessions)
        for block in make_session(random, Shape(14, 8))
        for text in (f"{block.role}\n", block.text)
    ]


def _batch(tokenizer: Tokenizer, recipe: Recipe, step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids (sessions, tokens) and the weight of each token in the loss; a function of seed, step and rank."""
    stage = recipe.stage(step)
    shared = Random(f"{recipe.seed} {step}")
    shape = Shape(shared.randint(*stage.memories), shared.randint(*stage.turns), rich=stage.rich)
    expected = 40 + 20 * shape.memories + 38 * shape.turns
    count = max(1, round(stage.tokens / recipe.processes / expected))
    own = Random(f"{recipe.seed} {step} {rank}")
    encoded = encode_sessions(tokenizer, [_session(own, shape, stage) for _ in range(count)])
    width = max(len(session.ids) for session in encoded)
    ids = torch.zeros(count, width, dtype=torch.long)
    weights = torch.zeros(count, width)
    for row, session in enumerate(encoded):
        ids[row, : len(session.ids)] = torch.tensor(session.ids)
        for _, start, end in session.answers:
            weights[row, start:end] = 1.0
        for _, start, end in session.values:
            weights[row, start:end] = _VALUE_WEIGHT
    return ids, weights


def _session(random: Random, shape: Shape, stage: TrainingStage) -> list[Block]:
    return (
        training_session(random, shape, stage.forget, together=stage.together)
        if stage.rich
        else make_session(random, shape)
    )


def _loss(model: Qwen3ForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, float]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(ids[:, :-1]).last_hidden_state
        chosen = weights[:, 1:] > 0
        logits = model.lm_head(hidden[chosen])
    wanted, weight = ids[:, 1:][chosen], weights[:, 1:][chosen]
    losses = F.cross_entropy(logits.float(), wanted, reduction="none")
    hard = weight > 1
    right = (logits.argmax(-1) == wanted)[hard].float().mean().item() if hard.any() else 1.0
    return (losses * weight).sum() / weight.sum(), right


def _average(parameters: Sequence[nn.Parameter], processes: int) -> None:
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= processes
    at = 0
    for p in parameters:
        if p.grad is not None:
            p.grad.copy_(flat[at : at + p.numel()].view_as(p))
            at += p.numel()


class _Trainer:
    def __init__(self, folder: Path, recipe: Recipe, rank: int, tokenizer: Tokenizer) -> None:
        self.folder, self.recipe, self.rank, self.tokenizer = folder, recipe, rank, tokenizer
        torch.manual_seed(recipe.seed)
        self.model = Qwen3ForCausalLM(configuration(tokenizer.get_vocab_size()))
        init_weights(self.model)
        self.parameters = list(self.model.parameters())
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        chosen = {id(p) for p in matrices}
        self.muon = torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=_MATRIX_DECAY)
        self.adam = torch.optim.AdamW(
            [p for p in self.parameters if id(p) not in chosen], lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0
        )
        self.step = 0
        self.tokens = 0

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.adam.load_state_dict(state["adam"])
            self.muon.load_state_dict(state["muon"])
            self.step, self.tokens = state["step"], state["tokens"]

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "adam": self.adam.state_dict(),
            "muon": self.muon.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
        }
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.checkpoint)

    def advance(self) -> tuple[float, float]:
        ids, weights = _batch(self.tokenizer, self.recipe, self.step, self.rank)
        loss, right = _loss(self.model, ids, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.processes > 1:
            _average(self.parameters, self.recipe.processes)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        share = self.recipe.rate_factor(self.step)
        self.adam.param_groups[0]["lr"] = self.recipe.rate * share
        self.muon.param_groups[0]["lr"] = self.recipe.matrix_rate * share
        self.muon.step()  # type: ignore[no-untyped-call]
        self.adam.step()
        for p in self.parameters:
            p.grad = None
        self.step += 1
        self.tokens += ids.numel() * self.recipe.processes
        return loss.item(), right


def _work(rank: int, folder: Path, recipe: Recipe, until: int, every: int, port: int) -> None:
    torch.set_num_threads(1)
    if recipe.processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo", rank=rank, world_size=recipe.processes)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trainer = _Trainer(folder, recipe, rank, tokenizer)
    trainer.resume()
    began, first = time.monotonic(), trainer.step
    recent: list[tuple[float, float]] = []
    while trainer.step < until:
        recent.append(trainer.advance())
        if rank == 0 and (trainer.step % every == 0 or trainer.step == until):
            trainer.save()
            _say(trainer, recent, time.monotonic() - began, first)
            recent = []
    if rank == 0:
        export_model(trainer.model, tokenizer, folder / "model")
    if recipe.processes > 1:
        dist.destroy_process_group()


def _say(trainer: _Trainer, recent: Sequence[tuple[float, float]], seconds: float, first: int) -> None:
    loss = sum(value for value, _ in recent) / len(recent)
    right = sum(value for _, value in recent) / len(recent)
    left = (trainer.recipe.steps - trainer.step) * seconds / (trainer.step - first)
    sys.stdout.write(
        f"step {trainer.step}/{trainer.recipe.steps}  {trainer.tokens / 1e6:.2f} M tokens  loss {loss:.3f}  "
        f"value tokens right {right:.3f}  {seconds / 60:.1f} min, {left / 60:.0f} left\n"
    )
    sys.stdout.flush()


def train(folder: Path, recipe: Recipe, *, until: int | None = None, every: int = 25, port: int = 29511) -> None:
    """Train to the end of the recipe, or to step `until`, and write `folder/model`.

    Args:
        folder: Where the tokenizer, the checkpoint and the model go; a checkpoint found there is continued.
        recipe: What to do.
        until: Stop here, as an interruption would.
        every: Steps between checkpoints.
        port: Loopback port on which the processes meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(_texts(recipe.seed + 1, 1500), recipe.vocabulary).save(str(folder / "tokenizer.json"))
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    last = recipe.steps if until is None else until
    if recipe.processes == 1:
        _work(0, folder, recipe, last, every, port)
    else:
        spawn(_work, (folder, recipe, last, every, port), recipe.processes)  # type: ignore[no-untyped-call]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m memscope.demo.build.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the checkpoint and the model go")
    parser.add_argument("--processes", type=int, default=Recipe.processes)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--port", type=int, default=29511)
    options = parser.parse_args()
    train(options.folder, Recipe(seed=options.seed, processes=options.processes), port=options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
