"""The arguments of `memscope export`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, indices, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "export training records or the matrix"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope export`."""
    made = new_parser("export", ABOUT, _run)
    add_session(made)
    made.add_argument("--to", required=True, choices=("trl", "messages", "sdft", "dpo", "matrix"), help="export format")
    made.add_argument("--output", metavar="FILE", help="write to this file instead of stdout")
    made.add_argument(
        "--responses",
        type=indices,
        metavar="I,J",
        help="matrix indices (default: approved responses, or else candidates)",
    )
    made.add_argument(
        "--context",
        choices=("with", "without"),
        help="export with or without memories in the context (default: without)",
    )
    made.add_argument("--redact", action="store_true", help="replace likely secrets and report how many were found")
    made.add_argument("--force", action="store_true", help="overwrite an existing file")
    made.add_argument("--format", choices=("csv", "json"), help="format of the matrix")
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.export import export

    return export(
        options.session,
        configured(options),
        options.to,
        destination=options.output,
        responses=options.responses,
        context=options.context,
        output=options.format,
        redact=options.redact,
        force=options.force,
    )
