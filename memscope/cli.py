"""The command line: which command runs, and how errors become exit statuses.

The arguments of a command are in `memscope.commands.parsers`, one module each. Heavy modules are imported only when a
command needs them.

Exit status: 0 done, 1 failed (one clear line on stderr), 2 usage, 130 interrupted; `memscope record` has its command's.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from memscope.errors import MemscopeError
from memscope.terminal.streams import prepare_streams

__all__ = ["main"]

_COMMANDS = ("score", "finetune", "train", "importance", "export", "doctor", "convert", "record", "serve", "demo")
"""The names of the commands; each has a module in `memscope.commands.parsers`, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    options = argparse.Namespace()
    try:
        options = _parse(given)
        return int(options.command(options))
    except MemscopeError as error:
        return _print_error(error)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # shutting down takes a moment; ignore further ctrl+c
        sys.stderr.write("memscope: interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our output has exited, so the remaining buffer cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report_fault(error, options)


def _report_fault(error: Exception, options: argparse.Namespace) -> int:
    """Write an unexpected error into the debug log and one line about it to stderr."""
    from memscope.commands.parsers.common import configured
    from memscope.config import Config
    from memscope.run.debug_log import DebugLog

    try:
        config = configured(options)
    except Exception:  # the options themselves may be the cause
        config = Config()
    log = DebugLog(config)
    sys.stderr.write(f"memscope: {log.exception(error)}\n")
    log.close()
    return 1


def _print_error(error: MemscopeError) -> int:
    from memscope.terminal.safe import indentation, one_line

    sys.stderr.write(f"memscope: {one_line(str(error))}\n")
    for line in error.advice:
        sys.stderr.write(f"  {indentation(line)}{one_line(line)}\n")
    return error.exit_status


def _parse(given: list[str]) -> argparse.Namespace:
    if given and given[0] in _COMMANDS:
        parser: argparse.ArgumentParser = _module(given[0]).parser()
        return parser.parse_args(given[1:])
    parser = _module("screen").parser({name: _module(name).ABOUT for name in _COMMANDS})
    return parser.parse_args(given)


def _module(command: str) -> Any:
    return import_module(f"memscope.commands.parsers.{command}")
