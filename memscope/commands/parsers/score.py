"""The arguments of `memscope score`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "score the full matrix and print it"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope score`."""
    made = new_parser("score", ABOUT, _run)
    add_session(made)
    made.add_argument("--format", choices=("json", "csv", "table"), default="table")
    made.add_argument("--measure", choices=("necessity", "sufficiency"), default="necessity")
    made.add_argument("--fresh", action="store_true", help="ignore stored scores and score again")
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.score import score

    return score(options.session, configured(options), options.format, options.measure, options.fresh)
