"""The arguments of `memscope [SESSION]`, the screen."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping

from memscope import __version__
from memscope.commands.parsers.common import add_common, add_session, configured, new_parser
from memscope.errors import UsageError
from memscope.terminal.streams import can_redraw

__all__ = ["parser"]


def parser(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser of the screen.

    Args:
        commands: What each command does, for the help.
    """
    made = new_parser("", "Find out which of an agent's memories each of its responses depends on.", _run)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.epilog = "commands:\n" + "\n".join(f"  {name:<10} {about}" for name, about in commands.items())
    made.epilog += "\n\nRun 'memscope COMMAND --help' for the options of a command."
    add_session(made)
    made.add_argument("--version", action="version", version=f"memscope {__version__}")
    made.add_argument(
        "--follow",
        action="store_true",
        default=None,
        help="watch SESSION while an agent appends to it (default: the newest recording)",
    )
    made.add_argument(
        "--read-only",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="send nothing to training and change nothing (default: with --follow)",
    )
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    # The screen is drawn on stderr, as Textual does it.
    if not all(map(can_redraw, (sys.stdin, sys.stdout, sys.stderr))):
        if options.follow:
            raise UsageError("--follow needs a terminal; without it, memscope score prints the session as it is now")
        from memscope.commands.score import score

        return score(options.session, configured(options), "table", "necessity", fresh=False)
    # Startup allocates a lot and frees nothing, so garbage collection is off until the first paint.
    gc.disable()
    # Import only the screen's own modules here; models, tokenizers and HTTP are imported after the first paint.
    from memscope.commands.screen import screen

    return screen(options.session, configured(options))
