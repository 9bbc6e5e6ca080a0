"""The arguments of `memscope serve`; importable without torch."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from memscope.errors import UsageError
from memscope.server.options import API_KEY_VARIABLE, ServeOptions

__all__ = ["add_arguments", "options_of"]

_BUNDLED = Path(__file__).parent.parent / "demo" / "model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything a scorer can be told to a parser."""
    parser.add_argument("--model", default=str(_BUNDLED), help="model folder or hub name (default: the bundled one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one (default: 8000)")
    parser.add_argument("--served-name", help="the model's name in the protocol")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps, …")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--max-model-len", type=int, help="longest sequence in tokens")
    parser.add_argument("--kv-budget", type=int, default=1024, metavar="MIB", help="keys and values kept, in MiB")
    parser.add_argument("--chunk-tokens", type=int, help="tokens a forward")
    parser.add_argument("--save-to", type=Path, metavar="DIR", help="write trained weights as a model folder")
    parser.add_argument("--no-training", action="store_true", help="do not answer /v1/train")
    parser.add_argument(
        "--api-key-env",
        default="MEMSCOPE_API_KEY",
        metavar="VAR",
        help="variable with the key that requests must carry (default: MEMSCOPE_API_KEY; unset asks for none)",
    )
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)


def options_of(arguments: argparse.Namespace) -> ServeOptions:
    """Return what the arguments and the environment say.

    As a child of memscope the scorer announces its port, demands the token it was given, and ends with its parent.

    Raises:
        UsageError: It was started as a child without a token.
    """
    # Taken out of the environment, so that nothing started from here inherits it.
    variable = API_KEY_VARIABLE if arguments.as_child else arguments.api_key_env
    api_key = os.environ.pop(variable, None) or None
    if arguments.as_child and api_key is None:
        raise UsageError(f"--as-child needs a token in {API_KEY_VARIABLE}")
    return ServeOptions(
        model=arguments.model,
        host=arguments.host,
        port=arguments.port,
        api_key=api_key,
        served_name=arguments.served_name,
        dtype=arguments.dtype,
        device=arguments.device,
        threads=arguments.threads,
        max_model_len=arguments.max_model_len,
        kv_budget_bytes=arguments.kv_budget << 20,
        chunk_tokens=arguments.chunk_tokens,
        training=not arguments.no_training,
        save_to=arguments.save_to,
        parent_pid=os.getppid() if arguments.as_child else None,
        watch_stdin=arguments.as_child,
        announce=arguments.as_child,
    )
