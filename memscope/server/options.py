"""What `memscope serve` can be told; plain data, importable without torch."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["API_KEY_VARIABLE", "ServeOptions"]

API_KEY_VARIABLE = "MEMSCOPE_SERVE_TOKEN"
"""The variable that hands a started scorer its bearer token: unlike an argument, other users cannot read it."""


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve one model.

    Attributes:
        model: A model folder, or a name on the Hugging Face hub.
        host: Address to listen on; anything but loopback needs `api_key`.
        port: Port to listen on; 0 takes a free one.
        api_key: The bearer token that every request but `/health` must carry; None asks for none.
        served_name: The model's name in the protocol; by default the folder's or the hub's.
        dtype: "auto" (float32 on a CPU, the model's own elsewhere), or a torch dtype such as "bfloat16".
        device: "auto" (cuda, mps or cpu, what is there), or a torch device such as "cuda:1".
        threads: CPU threads for computing; None leaves torch's choice.
        max_model_len: Longest sequence in tokens; None takes the model's own limit.
        kv_budget_bytes: Bytes of keys and values kept for shared prefixes, beyond the sequence being computed.
        chunk_tokens: Tokens a forward; None takes 512 on a CPU and 2,048 elsewhere.
        max_body_bytes: Longest request body.
        training: Answer `/v1/train`.
        save_to: Folder in which trained weights are written; None keeps them in memory only.
        parent_pid: End when this process is no longer the parent.
        watch_stdin: End when standard input reaches its end (the starter holds the other end of the pipe).
        announce: Print `{"port": …, "pid": …}` as one line on standard output once the port answers.
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
    save_to: Path | None = None
    parent_pid: int | None = None
    watch_stdin: bool = False
    announce: bool = False
