"""The arguments of `memscope convert`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_reading, add_session, configured, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "write a session of any format in the native one"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope convert`."""
    made = new_parser("convert", ABOUT, _run)
    add_session(made)
    made.add_argument("-o", "--output", required=True, metavar="FILE", help="write to this file; - for stdout")
    made.add_argument("--force", action="store_true", help="overwrite an existing file")
    made.add_argument(
        "--thread",
        type=int,
        metavar="N",
        help="the conversation to keep, from 0, if the file has several (default: the one with most responses)",
    )
    add_reading(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.convert import convert

    return convert(options.session, configured(options), options.output, thread=options.thread, force=options.force)
