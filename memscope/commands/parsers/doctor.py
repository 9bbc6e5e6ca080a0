"""The arguments of `memscope doctor`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "check the scorer, its capabilities, and what is recognised in a session"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope doctor`."""
    made = new_parser("doctor", ABOUT, _run)
    add_session(made, "also describe what is recognised in this file")
    made.add_argument("--format", choices=("json", "table"), default="table")
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.doctor import doctor

    return doctor(options.session, configured(options), options.format)
