"""The arguments of `memscope serve`; importable without torch."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import msgspec

from memscope.errors import UsageError
from memscope.server.options import API_KEY_VARIABLE, ServeOptions, TrainOptions

__all__ = ["add_arguments", "add_training_arguments", "options_of", "positive", "training_options"]

_BUNDLED = Path(__file__).parent.parent / "demo" / "model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a scorer to a parser."""
    parser.add_argument("--model", default=str(_BUNDLED), help="model folder or hub name (default: the bundled one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=_port, default=8000, help="port, 0 for a free one (default: 8000)")
    parser.add_argument("--served-name", help="model name in the API (default: folder or hub name)")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps, …")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads")
    parser.add_argument("--max-model-len", type=positive, metavar="N", help="longest sequence in tokens")
    parser.add_argument(
        "--kv-budget",
        type=positive,
        default=1024,
        metavar="MIB",
        help="size of the prefix cache in MiB (default: 1024)",
    )
    parser.add_argument(
        "--chunk-tokens", type=positive, metavar="N", help="tokens computed at once, at most (default: 512)"
    )
    training = parser.add_argument_group("training defaults")
    training.add_argument("--save-to", type=Path, metavar="DIR", help="write trained weights as a model folder")
    training.add_argument("--no-training", action="store_true", help="disable /v1/train")
    add_training_arguments(training)
    parser.add_argument(
        "--api-key-env",
        default="MEMSCOPE_API_KEY",
        metavar="VAR",
        help="environment variable with the API key to require (default: MEMSCOPE_API_KEY; no key if unset)",
    )
    parser.add_argument("--as-child", action="store_true", help=argparse.SUPPRESS)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Parse a positive integer.

    Raises:
        ArgumentTypeError: It is not one.
    """
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return int(text)


def add_training_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the training options; options that are not set are None."""
    group.add_argument(
        "--method", choices=("full", "lora"), help="train all weights or LoRA (default: LoRA above 50 M parameters)"
    )
    group.add_argument(
        "--learning-rate", type=float, metavar="X", help="learning rate (default: 3e-4, or 1e-3 with LoRA)"
    )
    group.add_argument("--steps", type=int, metavar="N", help="optimizer steps (default: 20)")
    group.add_argument("--batch-size", type=int, metavar="N", help="sequences per step, 0 for all (default: 0)")
    group.add_argument(
        "--anchor",
        type=float,
        metavar="X",
        help="weight of the loss term that keeps other predictions unchanged (default: 1)",
    )


def training_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the training options that were set.

    Raises:
        UsageError: A value is out of range.
    """
    names = ("method", "learning_rate", "steps", "batch_size", "anchor")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    try:
        msgspec.convert(given, TrainOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"training options: {error}") from None
    return given


def options_of(arguments: argparse.Namespace) -> ServeOptions:
    """Return the options from arguments and environment.

    As a child of memscope, the scorer announces its port, requires the given token, and exits with its parent.

    Raises:
        UsageError: It was started as a child without a token.
    """
    # Removed from the environment, so that child processes do not inherit it.
    variable = API_KEY_VARIABLE if arguments.as_child else arguments.api_key_env
    api_key = os.environ.pop(variable, None) or None
    if arguments.as_child and api_key is None:
        raise UsageError(f"--as-child needs a token in {API_KEY_VARIABLE}")
    return ServeOptions(
        model=arguments.model,
        host=arguments.host,
        port=arguments.port,
        api_key=api_key,
        served_name=arguments.served_name or ("memscope-demo" if arguments.model == str(_BUNDLED) else None),
        dtype=arguments.dtype,
        device=arguments.device,
        threads=arguments.threads,
        max_model_len=arguments.max_model_len,
        kv_budget_bytes=arguments.kv_budget << 20,
        chunk_tokens=arguments.chunk_tokens,
        training=not arguments.no_training,
        train_options=TrainOptions(**training_options(arguments)),
        save_to=arguments.save_to,
        parent_pid=os.getppid() if arguments.as_child else None,
        watch_stdin=arguments.as_child,
        announce=arguments.as_child,
    )
