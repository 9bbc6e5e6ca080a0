"""The command line: arguments in, an exit status out. Nothing heavy is imported until a command needs it.

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
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # leaving takes a moment, and impatience is no error
        sys.stderr.write("memscope: interrupted\n")
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; what is still buffered has nowhere to go.
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
    except Exception:  # the options may be what is at fault
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
    parser = _parser("", "See which of an agent's memories each of its responses rests on.", _screen)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "commands:\n" + "\n".join(f"  {name:<10} {about}" for name, about in _ABOUT.items())
    parser.epilog += "\n\n'memscope COMMAND --help' tells more."
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--version", action="version", version=f"memscope {__version__}")
    _common(parser)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("scorer")
    group.add_argument("--url", help="OpenAI-style base address, http://host:8000/v1; without it one is started here")
    group.add_argument("--model", help="served name; without --url a model folder or hub name")
    group.add_argument("--tokenizer", help="tokenizer folder or hub name, where the server does not hand out its own")
    group.add_argument("--api-key-env", metavar="VAR", help="variable that holds the API key (MEMSCOPE_API_KEY)")
    group.add_argument("--dialect", help="how to ask: auto, score, prompt_logprobs")
    group.add_argument(
        "--template",
        choices=("auto", "chatml", "own"),
        help="ChatML or the model's own chat template; auto: ChatML for native sessions where the model knows it",
    )
    group = parser.add_argument_group("session")
    group.add_argument(
        "--threshold", type=float, metavar="NATS", help="divergence from which a response is a candidate"
    )
    group.add_argument("--rules", type=_names, metavar="A,B", help="memory detectors to use on chat messages")
    group.add_argument("--memory-regex", metavar="PATTERN", help="own detector: named groups key and text")
    group = parser.add_argument_group("state")
    group.add_argument("--state", metavar="DIR", help="folder of the state database and the debug log")
    group.add_argument("--theme", help="name of the screen's theme")
    group.add_argument("--debug", action="store_true", default=None, help="write session text into the debug log too")


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
    # Starting up allocates a lot and frees nothing: the collector waits for the first paint.
    gc.disable()
    # Only the screen's own modules from here on: a model, a tokenizer and HTTP wait until it is painted.
    from memscope.commands.screen import screen

    return screen(options.session, _config(options))


def _score_parser() -> argparse.ArgumentParser:
    parser = _parser("score", _ABOUT["score"], _score)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--format", choices=("json", "csv", "table"), default="table")
    parser.add_argument("--measure", choices=("necessity", "sufficiency"), default="necessity")
    parser.add_argument("--fresh", action="store_true", help="score again what is remembered")
    _common(parser)
    return parser


def _score(options: argparse.Namespace) -> int:
    from memscope.commands.score import score

    return score(options.session, _config(options), options.format, options.measure, options.fresh)


def _doctor_parser() -> argparse.ArgumentParser:
    parser = _parser("doctor", _ABOUT["doctor"], _doctor)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="also say what is recognised in this file")
    parser.add_argument("--format", choices=("json", "table"), default="table")
    _common(parser)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from memscope.commands.doctor import doctor

    return doctor(options.session, _config(options), options.format)


def _finetune_parser() -> argparse.ArgumentParser:
    from memscope.server.arguments import positive

    parser = _parser("finetune", _ABOUT["finetune"], _finetune)
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--format", choices=("json", "table"), default="table")
    parser.add_argument("--alternates", action="store_true", help="also generate what the model says without memories")
    parser.add_argument("--count", type=positive, metavar="N", help="only the N most recent nodes of the conversation")
    parser.add_argument(
        "--context", choices=("full", "window"), default="full", help="everything before, or these nodes"
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
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--responses", type=_indices, required=True, metavar="I,J", help="responses by matrix index")
    parser.add_argument("--context", choices=("with", "without"), help="memories in the training context, or not")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the job's end")
    parser.add_argument("--verify", action="store_true", help="score again after the job: before and after")
    parser.add_argument("--yes", action="store_true", help="do not ask before sending")
    parser.add_argument("--again", action="store_true", help="also what was trained, or is in doubt")
    from memscope.server.arguments import add_training_arguments

    add_training_arguments(parser.add_argument_group("how to train, for memscope's own scorer"))
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
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--to", required=True, choices=("trl", "messages", "sdft", "dpo", "matrix"), help="for what")
    parser.add_argument("--output", metavar="FILE", help="write here instead of to stdout")
    parser.add_argument("--responses", type=_indices, metavar="I,J", help="these; else the approved, else candidates")
    parser.add_argument("--context", choices=("with", "without"), help="memories in the context, or not (default)")
    parser.add_argument("--redact", action="store_true", help="replace what looks like a secret, and say how many")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--format", choices=("csv", "json"), help="of the matrix")
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
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session file; the bundled demo without one")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--max-age", type=_seconds, default=3600.0, metavar="S", help="seconds until due again (3600)")
    parser.add_argument("--window", type=positive, default=50, metavar="N", help="responses after the memory (50)")
    parser.add_argument("--context", choices=("window", "full"), default="window", help="the window, or all before too")
    parser.add_argument("--agent", metavar="NAME", help="whose memories they are (the session says)")
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
    "finetune": "find responses that lean on memories: candidates for training",
    "train": "send responses to training and watch the job",
    "importance": "re-score stale memories incrementally",
    "export": "write training records or the matrix to a file",
    "doctor": "say what scorer answers, what it can do, and why not",
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
