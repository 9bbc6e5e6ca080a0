"""The arguments of `memscope demo`."""

from __future__ import annotations

import argparse
import sys

from memscope.commands.parsers.common import add_common, configured, new_parser, seconds
from memscope.errors import UsageError
from memscope.terminal.streams import can_redraw

__all__ = ["ABOUT", "parser"]

ABOUT = "look at the bundled session, or at an agent at work"
_PACE_SECONDS = 4.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope demo`."""
    made = new_parser("demo", "Open the bundled session; with --live, start an agent and watch it.", _run)
    made.add_argument("--live", action="store_true", help="start a small agent, record it and follow the recording")
    made.add_argument(
        "--pace",
        type=seconds,
        default=_PACE_SECONDS,
        metavar="SECONDS",
        help=f"with --live: pause between the agent's turns (default: {_PACE_SECONDS:.0f})",
    )
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    if not all(map(can_redraw, (sys.stdin, sys.stdout, sys.stderr))):
        raise UsageError("the demo needs a terminal; without one, memscope score prints the bundled session's map")
    from memscope.commands.demo import demo, live_demo

    config = configured(options)
    return live_demo(config, options.pace) if options.live else demo(config)
