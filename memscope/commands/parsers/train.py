"""The arguments of `memscope train`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, indices, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "send responses to training and watch the job"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope train`."""
    made = new_parser("train", ABOUT, _run)
    add_session(made)
    made.add_argument("--responses", type=indices, required=True, metavar="I,J", help="matrix indices of the responses")
    made.add_argument("--context", choices=("with", "without"), help="train with or without memories in the context")
    made.add_argument("--no-wait", action="store_true", help="do not wait for the job to finish")
    made.add_argument("--verify", action="store_true", help="score again after the job and compare before and after")
    made.add_argument("--yes", action="store_true", help="send without asking")
    made.add_argument("--again", action="store_true", help="also send responses already trained or in doubt")
    from memscope.server.arguments import add_training_arguments

    add_training_arguments(made.add_argument_group("training options (memscope's own scorer only)"))
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.train import train
    from memscope.server.arguments import training_options

    return train(
        options.session,
        configured(options),
        options.responses,
        options.context,
        wait=not options.no_wait,
        yes=options.yes,
        again=options.again,
        verify=options.verify,
        options=training_options(options),
    )
