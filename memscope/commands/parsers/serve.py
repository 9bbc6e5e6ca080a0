"""The arguments of `memscope serve`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "serve a model: log-probabilities, chat, completions, training"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope serve`."""
    from memscope.server.arguments import add_arguments

    made = new_parser("serve", ABOUT, _run)
    add_arguments(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.server.arguments import options_of
    from memscope.server.main import serve

    serve(options_of(options))
    return 0
