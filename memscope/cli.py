"""The command line. Heavy modules are imported only when a command needs them.

Exit status: 0 done, 1 failed (one clear line on stderr), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from memscope import __version__
from memscope.errors import MemscopeError, UsageError
from memscope.terminal.streams import can_redraw, prepare_streams

__all__ = ["main"]

_FLAGS = (
    "url",
    "model",
    "tokenizer",
    "api_key_env",
    "dialect",
    "template",
    "threshold",
    "memory_regex",
    "rules",
    "agent",
    "state",
    "theme",
    "debug",
)


_ELSEWHERE = (
    "The options under scorer, session and state can also be set by a variable\n"
    "(--api-key-env by MEMSCOPE_API_KEY_ENV) or in config.toml (api_key_env), which\n"
    "is in ~/.config/memscope on Linux or where MEMSCOPE_CONFIG points."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    options = argparse.Namespace()
    try:
        options = _parse(given)
        return int(options.command(options))
    except UsageError as error:
        return _print_error(error, 2)
    except MemscopeError as error:
        return _print_error(error, 1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # shutting down takes a moment; ignore further ctrl+c
        sys.stderr.write("memscope: interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our output has exited, so the remaining buffer cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report_fault(error, options)


def _report_fault(error: Exception, options: argparse.Namespace) -> int:
    """Write an unexpected error into the debug log and one line about it to stderr."""
    from memscope.config import Config
    from memscope.run.debug_log import DebugLog

    try:
        config = _config(options)
    except Exception:  # the options themselves may be the cause
        config = Config()
    log = DebugLog(config)
    sys.stderr.write(f"memscope: {log.exception(error)}\n")
    log.close()
    return 1


def _print_error(error: MemscopeError, status: int) -> int:
    from memscope.terminal.safe import one_line

    sys.stderr.write(f"memscope: {one_line(str(error))}\n")
    return status


def _parse(given: list[str]) -> argparse.Namespace:
    first = next((word for word in given if not word.startswith("-")), None)
    name = first if first in _COMMANDS and given[0] == first else None
    parser = _COMMANDS[name]() if name else _screen_parser()
    return parser.parse_args(given[1:] if name else given)


def _parser(name: str, about: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"memscope {name}".strip(), description=about)
    parser.set_defaults(command=run)
    return parser


def _screen_parser() -> argparse.ArgumentParser:
    parser = _parser("", "Find out which of an agent's memories each of its responses depends on.", _screen)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "commands:\n" + "\n".join(f"  {name:<10} {about}" for name, about in _ABOUT.items())
    parser.epilog += "\n\nRun 'memscope COMMAND --help' for the options of a command."
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument("--version", action="version", version=f"memscope {__version__}")
    _common(parser)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scorer")
    group.add_argument("--url", help="OpenAI-style base URL, http://host:8000/v1 (default: start a local scorer)")
    group.add_argument("--model", help="served model name; without --url, a model folder or hub name")
    group.add_argument("--tokenizer", help="tokenizer folder or hub name, if the server does not provide one")
    group.add_argument(
        "--api-key-env", metavar="VAR", help="environment variable with the API key (default: MEMSCOPE_API_KEY)"
    )
    group.add_argument("--dialect", help="scoring protocol: auto, score or prompt_logprobs")
    group.add_argument(
        "--template",
        choices=("auto", "chatml", "own"),
        help="ChatML, or the model's own chat template; auto uses ChatML for native sessions if the model supports it",
    )
    group = parser.add_argument_group("session")
    group.add_argument("--threshold", type=float, metavar="NATS", help="minimum divergence of a candidate")
    group.add_argument("--rules", type=_names, metavar="A,B", help="memory detectors to apply to chat messages")
    group.add_argument(
        "--memory-regex", metavar="PATTERN", help="custom detector: a regex with the named groups key and text"
    )
    group = parser.add_argument_group("state")
    group.add_argument("--state", metavar="DIR", help="folder for the state database and the debug log")
    group.add_argument("--theme", help="theme of the screen")
    group.add_argument("--debug", action="store_true", default=None, help="include session text in the debug log")
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, _ELSEWHERE)))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("expected names such as tags,mem0")
    return names


def _config(options: argparse.Namespace) -> Any:
    from memscope.config import load_config

    return load_config({name: getattr(options, name, None) for name in _FLAGS})


def _screen(options: argparse.Namespace) -> int:
    # The screen is drawn on stderr, as Textual does it.
    if not all(map(can_redraw, (sys.stdin, sys.stdout, sys.stderr))):
        from memscope.commands.score import score

        return score(options.session, _config(options), "table", "necessity", fresh=False)
    # Startup allocates a lot and frees nothing, so garbage collection is off until the first paint.
    gc.disable()
    # Import only the screen's own modules here; models, tokenizers and HTTP are imported after the first paint.
    from memscope.commands.screen import screen

    return screen(options.session, _config(options))


def _score_parser() -> argparse.ArgumentParser:
    parser = _parser("score", _ABOUT["score"], _score)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument("--format", choices=("json", "csv", "table"), default="table")
    parser.add_argument("--measure", choices=("necessity", "sufficiency"), default="necessity")
    parser.add_argument("--fresh", action="store_true", help="ignore stored scores and score again")
    _common(parser)
    return parser


def _score(options: argparse.Namespace) -> int:
    from memscope.commands.score import score

    return score(options.session, _config(options), options.format, options.measure, options.fresh)


def _doctor_parser() -> argparse.ArgumentParser:
    parser = _parser("doctor", _ABOUT["doctor"], _doctor)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="also describe what is recognised in this file")
    parser.add_argument("--format", choices=("json", "table"), default="table")
    _common(parser)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from memscope.commands.doctor import doctor

    return doctor(options.session, _config(options), options.format)


def _finetune_parser() -> argparse.ArgumentParser:
    from memscope.server.arguments import positive

    parser = _parser("finetune", _ABOUT["finetune"], _finetune)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument("--format", choices=("json", "table"), default="table")
    parser.add_argument(
        "--alternates", action="store_true", help="also generate what the model replies without memories"
    )
    parser.add_argument(
        "--count", type=positive, metavar="N", help="consider only the N most recent conversation nodes"
    )
    parser.add_argument(
        "--context",
        choices=("full", "window"),
        default="full",
        help="context of a response: everything before it, or only these nodes",
    )
    _common(parser)
    return parser


def _finetune(options: argparse.Namespace) -> int:
    from memscope.commands.finetune import finetune

    config = _config(options)
    return finetune(
        options.session, config, options.format, options.count, options.context, alternates=options.alternates
    )


def _train_parser() -> argparse.ArgumentParser:
    parser = _parser("train", _ABOUT["train"], _train)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument(
        "--responses", type=_indices, required=True, metavar="I,J", help="matrix indices of the responses"
    )
    parser.add_argument("--context", choices=("with", "without"), help="train with or without memories in the context")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the job to finish")
    parser.add_argument("--verify", action="store_true", help="score again after the job and compare before and after")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    parser.add_argument("--again", action="store_true", help="also send responses already trained or in doubt")
    from memscope.server.arguments import add_training_arguments

    add_training_arguments(parser.add_argument_group("training options (memscope's own scorer only)"))
    _common(parser)
    return parser


def _train(options: argparse.Namespace) -> int:
    from memscope.commands.train import train
    from memscope.server.arguments import training_options

    return train(
        options.session,
        _config(options),
        options.responses,
        options.context,
        wait=not options.no_wait,
        yes=options.yes,
        again=options.again,
        verify=options.verify,
        options=training_options(options),
    )


def _indices(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected indices such as 3,5, got {text!r}") from None


def _export_parser() -> argparse.ArgumentParser:
    parser = _parser("export", _ABOUT["export"], _export)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument(
        "--to", required=True, choices=("trl", "messages", "sdft", "dpo", "matrix"), help="export format"
    )
    parser.add_argument("--output", metavar="FILE", help="write to this file instead of stdout")
    parser.add_argument(
        "--responses",
        type=_indices,
        metavar="I,J",
        help="matrix indices (default: approved responses, or else candidates)",
    )
    parser.add_argument(
        "--context",
        choices=("with", "without"),
        help="export with or without memories in the context (default: without)",
    )
    parser.add_argument("--redact", action="store_true", help="replace likely secrets and report how many were found")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument("--format", choices=("csv", "json"), help="format of the matrix")
    _common(parser)
    return parser


def _export(options: argparse.Namespace) -> int:
    from memscope.commands.export import export

    return export(
        options.session,
        _config(options),
        options.to,
        destination=options.output,
        responses=options.responses,
        context=options.context,
        output=options.format,
        redact=options.redact,
        force=options.force,
    )


def _importance_parser() -> argparse.ArgumentParser:
    from memscope.server.arguments import positive

    parser = _parser("importance", _ABOUT["importance"], _importance)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file (default: the bundled demo)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument(
        "--max-age",
        type=_seconds,
        default=3600.0,
        metavar="S",
        help="seconds after which a memory is scored again (default: 3600)",
    )
    parser.add_argument(
        "--window", type=positive, default=50, metavar="N", help="responses after each memory to score (default: 50)"
    )
    parser.add_argument(
        "--context",
        choices=("window", "full"),
        default="window",
        help="context: the window only, or everything before it too",
    )
    parser.add_argument(
        "--agent", metavar="NAME", help="agent the memories belong to (default: taken from the session)"
    )
    _common(parser)
    return parser


def _importance(options: argparse.Namespace) -> int:
    from memscope.commands.importance import importance

    return importance(
        options.session, _config(options), options.format, options.max_age, options.window, options.context
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, got {text!r}")
    return seconds


def _serve_parser() -> argparse.ArgumentParser:
    from memscope.server.arguments import add_arguments

    parser = _parser("serve", _ABOUT["serve"], _serve)
    add_arguments(parser)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from memscope.server.arguments import options_of
    from memscope.server.main import serve

    serve(options_of(options))
    return 0


_ABOUT = {
    "score": "score the full matrix and print it",
    "finetune": "find responses that depend on memories: candidates for training",
    "train": "send responses to training and watch the job",
    "importance": "re-score stale memories incrementally",
    "export": "export training records or the matrix",
    "doctor": "check the scorer, its capabilities, and what is recognised in a session",
    "serve": "serve a model: log-probabilities, completions, training",
}

_COMMANDS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "score": _score_parser,
    "finetune": _finetune_parser,
    "train": _train_parser,
    "importance": _importance_parser,
    "export": _export_parser,
    "doctor": _doctor_parser,
    "serve": _serve_parser,
}
