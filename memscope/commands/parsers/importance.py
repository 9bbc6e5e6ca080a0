"""The arguments of `memscope importance`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import add_common, add_session, configured, new_parser, seconds

__all__ = ["ABOUT", "parser"]

ABOUT = "re-score stale memories incrementally"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope importance`."""
    from memscope.server.arguments import positive

    made = new_parser("importance", ABOUT, _run)
    add_session(made)
    made.add_argument("--format", choices=("table", "json"), default="table")
    made.add_argument(
        "--max-age",
        type=seconds,
        default=3600.0,
        metavar="S",
        help="seconds after which a memory is scored again (default: 3600)",
    )
    made.add_argument(
        "--window", type=positive, default=50, metavar="N", help="responses after each memory to score (default: 50)"
    )
    made.add_argument(
        "--context",
        choices=("window", "full"),
        default="window",
        help="context: the window only, or everything before it too",
    )
    made.add_argument("--agent", metavar="NAME", help="agent the memories belong to (default: taken from the session)")
    add_common(made)
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.importance import importance

    return importance(
        options.session, configured(options), options.format, options.max_age, options.window, options.context
    )
