"""`python -m memscope.server`: run the scorer without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from memscope.errors import MemscopeError, UsageError
from memscope.server.arguments import add_arguments, options_of
from memscope.server.main import serve

__all__ = ["main"]


def main() -> int:
    """Run the scorer; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m memscope.server", description="Serve one model's log-probabilities."
    )
    add_arguments(parser)
    try:
        serve(options_of(parser.parse_args()))
    except MemscopeError as error:
        sys.stderr.write(f"memscope: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
