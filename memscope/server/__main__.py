"""`python -m memscope.server`: the scorer by itself, without the rest of the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import memscope.server.options as serving
from memscope.errors import MemscopeError, UsageError
from memscope.server.main import serve

__all__ = ["main"]

_BUNDLED = Path(__file__).parent.parent / "demo" / "model"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memscope.server", description="Serve log-probabilities of one model.")
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
        "--as-child",
        action="store_true",
        help=f"started by memscope: announce the port, demand ${serving.API_KEY_VARIABLE}, end with the parent",
    )
    return parser


def _options(arguments: argparse.Namespace) -> serving.ServeOptions:
    # Taken out of the environment, so that nothing started from here inherits it.
    api_key = os.environ.pop(serving.API_KEY_VARIABLE, None) or None
    if arguments.as_child and api_key is None:
        raise UsageError(f"--as-child needs a token in {serving.API_KEY_VARIABLE}")
    return serving.ServeOptions(
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


def main() -> int:
    """Run the scorer; return the exit status."""
    arguments = _parser().parse_args()
    try:
        serve(_options(arguments))
    except MemscopeError as error:
        sys.stderr.write(f"memscope: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
