"""The arguments of `memscope finetune`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "find responses that depend on memories: candidates for training"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope finetune`."""
    from memscope.server.arguments import positive

    made = new_parser("finetune", ABOUT, _run)
    add_session(made)
    made.add_argument("--format", choices=("json", "table"), default="table")
    made.add_argument("--alternates", action="store_true", help="also generate what the model replies without memories")
    made.add_argument("--count", type=positive, metavar="N", help="consider only the N most recent conversation nodes")
    made.add_argument(
        "--context",
        choices=("full", "window"),
        default="full",
        help="context of a response: everything before it, or only these nodes",
    )
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.finetune import finetune

    config = configured(options)
    return finetune(
        options.session, config, options.format, options.count, options.context, alternates=options.alternates
    )
