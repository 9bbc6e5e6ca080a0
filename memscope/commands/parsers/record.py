"""The arguments of `memscope record`."""

from __future__ import annotations

import argparse

from memscope.commands.parsers.common import configured, new_parser

__all__ = ["ABOUT", "parser"]

ABOUT = "record what an agent really sends to its model"

_EPILOG = """\
With a command, it is run with OPENAI_BASE_URL, OPENAI_API_BASE and ANTHROPIC_BASE_URL
set to the proxy, and the exit status is its own. Without one, point the agent to the
address that is printed, and press ctrl+c to stop.

  memscope record -- python my_agent.py
  memscope record --to http://host:8000/v1 --port 9000 --out run.jsonl

--to and --port can also be set by MEMSCOPE_RECORD_TO and MEMSCOPE_RECORD_PORT, or by
record_to and record_port in config.toml."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `memscope record`."""
    made = new_parser("record", ABOUT, _run)
    made.usage = "memscope record [--to URL] [--port N] [--out FILE] [--state DIR] [-- COMMAND ...]"
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.epilog = _EPILOG
    made.add_argument(
        "--to",
        dest="record_to",
        metavar="URL",
        help="base URL to forward to (default: what the variables say, or the services themselves)",
    )
    made.add_argument(
        "--port", dest="record_port", type=int, metavar="N", help="port to listen on (default: any free one)"
    )
    made.add_argument("--out", metavar="FILE", help="the recording (default: a new file in the recordings folder)")
    made.add_argument("--state", metavar="DIR", help="folder that holds the recordings folder")
    made.add_argument("agent_command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command to run")
    return made


def _run(options: argparse.Namespace) -> int:
    from memscope.commands.record import record

    command = options.agent_command
    return record(command[1:] if command[:1] == ["--"] else command, configured(options), options.out)
