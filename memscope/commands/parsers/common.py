"""Options that several commands share, and the configuration they make."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["Run", "add_common", "add_reading", "add_session", "configured", "indices", "new_parser", "seconds"]

Run = Callable[[argparse.Namespace], int]
"""Runs a command with its parsed arguments and returns the exit status."""

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
    "source_format",
    "project",
    "pick",
    "agent",
    "record_to",
    "record_port",
    "state",
    "follow",
    "read_only",
    "theme",
    "debug",
)

_ELSEWHERE = (
    "The options under scorer, session and state can also be set by a variable\n"
    "(--api-key-env by MEMSCOPE_API_KEY_ENV) or in config.toml (api_key_env), which\n"
    "is in ~/.config/memscope on Linux or where MEMSCOPE_CONFIG points."
)


def new_parser(name: str, about: str, run: Run) -> argparse.ArgumentParser:
    """Return a parser for `memscope NAME`; `run` becomes `command` of what it parses."""
    parser = argparse.ArgumentParser(prog=f"memscope {name}".strip(), description=about)
    parser.set_defaults(command=run)
    return parser


def add_session(parser: argparse.ArgumentParser, about: str = "session file (default: the bundled demo)") -> None:
    """Add the positional argument SESSION."""
    parser.add_argument("session", nargs="?", metavar="SESSION", type=_file_name, help=about)


def _file_name(value: str) -> str:
    """Return a file name; an empty one comes from an unset variable and does not stand for the demo."""
    if not value:
        raise argparse.ArgumentTypeError("the file name is empty; omit it to open the bundled demo")
    return value


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of the scorer, the session and the state, which all but a few commands take."""
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
    add_reading(parser).add_argument(
        "--threshold", type=float, metavar="NATS", help="minimum divergence of a candidate"
    )
    group = parser.add_argument_group("state")
    group.add_argument("--state", metavar="DIR", help="folder for the state database and the debug log")
    group.add_argument("--theme", help="theme of the screen")
    group.add_argument("--debug", action="store_true", default=None, help="include session text in the debug log")
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, _ELSEWHERE)))


def add_reading(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of how a session file is read, and return their group."""
    group = parser.add_argument_group("session")
    group.add_argument(
        "--rules",
        type=_names,
        metavar="A,B",
        help="memory rules to apply to the texts of a session (default: all but paragraphs and search-results)",
    )
    group.add_argument(
        "--memory-regex",
        metavar="PATTERN",
        help="custom rule: a regex whose matches are memories (groups: key, text, memory, items; . stays on a line)",
    )
    group.add_argument(
        "--from",
        dest="source_format",
        metavar="FORMAT",
        help="format of the session file (default: determined from its content); with claude-code or codex and no "
        "SESSION, lists the newest transcripts",
    )
    group.add_argument(
        "--project",
        metavar="DIR",
        help="read memory files that a transcript of Claude Code or Gemini CLI lacks from this project",
    )
    group.add_argument(
        "--pick",
        metavar="ID",
        help="conversation to read from a file with several: a sample's id, an agent's name or a line's number",
    )
    return group


def configured(options: argparse.Namespace) -> Any:
    """Return the `Config` of parsed options, the environment and the configuration file.

    Raises:
        ConfigError: A value is invalid.
    """
    from memscope.config import load_config

    return load_config({name: getattr(options, name, None) for name in _FLAGS})


def indices(text: str) -> list[int]:
    """Parse matrix indices such as 3,5."""
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected indices such as 3,5, got {text!r}") from None


def seconds(text: str) -> float:
    """Parse a duration in seconds."""
    try:
        duration = float(text)
    except ValueError:
        duration = -1.0
    if not 0 <= duration < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, got {text!r}")
    return duration


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("expected names such as tags,mem0")
    return names
