"""The options of `memscope serve`; plain data, importable without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "API_KEY_VARIABLE",
    "Anchor",
    "BatchSize",
    "LearningRate",
    "Method",
    "Seed",
    "ServeOptions",
    "Steps",
    "TrainOptions",
]

API_KEY_VARIABLE = "MEMSCOPE_SERVE_TOKEN"
"""Environment variable that passes the token to a child scorer; unlike an argument, other users cannot read it."""


LearningRate = Annotated[float, Meta(gt=0, le=1)]
Steps = Annotated[int, Meta(ge=1, le=10_000)]
BatchSize = Annotated[int, Meta(ge=0)]
Method = Literal["full", "lora"]
Anchor = Annotated[float, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class TrainOptions(msgspec.Struct, frozen=True):
    """Training options.

    Attributes:
        learning_rate: AdamW's; None takes 3e-4 for all weights and 1e-3 for LoRA.
        steps: Optimizer steps.
        batch_size: Sequences per step; 0 for all. Samples that extend each other form one sequence.
        method: "full" changes all weights, "lora" an adapter that is merged at the end; None chooses by size.
        anchor: Weight of the divergence from the old weights on the samples' contexts, which keeps other predictions
            unchanged; 0 disables it.
        seed: Seed of the sample order and of the adapter's initial weights.
    """

    learning_rate: LearningRate | None = None
    steps: Steps = 20
    batch_size: BatchSize = 0
    method: Method | None = None
    anchor: Anchor = 1.0
    seed: Seed = 0


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for serving one model.

    Attributes:
        model: A model folder, or a name on the Hugging Face hub.
        host: Address to listen on; anything but loopback needs `api_key`.
        port: Port to listen on; 0 takes a free one.
        api_key: The bearer token that every request except `/health` must have; None requires none.
        served_name: The model's name in the API; by default the folder or hub name.
        dtype: "auto" (float32 on a CPU, the model's own elsewhere), or a torch dtype such as "bfloat16".
        device: "auto" (cuda, mps or cpu, whichever is available), or a torch device such as "cuda:1".
        threads: CPU threads for computing; None leaves torch's choice.
        max_model_len: Longest sequence in tokens; None takes the model's own limit.
        kv_budget_bytes: Size of the prefix cache in bytes, in addition to the sequence being computed.
        chunk_tokens: Tokens computed at once, at most; None takes 512.
        max_body_bytes: Longest request body.
        training: Whether to provide `/v1/train`.
        train_options: Default training options.
        save_to: Folder in which trained weights are written; None keeps them in memory only.
        parent_pid: Exit when this process is no longer the parent.
        watch_stdin: Exit at end of file on standard input (the parent holds the other end of the pipe).
        announce: Print `{"port": …, "pid": …}` as one line on standard output once the port is open.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    served_name: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    threads: int | None = None
    max_model_len: int | None = None
    kv_budget_bytes: int = 1 << 30
    chunk_tokens: int | None = None
    max_body_bytes: int = 64 << 20
    training: bool = True
    train_options: TrainOptions = TrainOptions()
    save_to: Path | None = None
    parent_pid: int | None = None
    watch_stdin: bool = False
    announce: bool = False
