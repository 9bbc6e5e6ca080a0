"""The exceptions that memscope raises on purpose.

Each message is one line that says what is wrong, where, and what to do. The commands print it on stderr, and
the screen shows it in the log, without a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CommandError",
    "ConfigError",
    "MemscopeError",
    "PromptError",
    "RecordError",
    "ScorerError",
    "ScorerGoneError",
    "SessionError",
    "StoreError",
    "TrainingError",
    "UntrustedScorerError",
    "UsageError",
]


class MemscopeError(Exception):
    """Base class of all errors that memscope raises on purpose.

    Attributes:
        advice: What else to tell the user, line by line; shown under the message by the commands.
        exit_status: What a command exits with.
    """

    exit_status = 1

    def __init__(self, message: str = "", advice: Sequence[str] = ()) -> None:
        """Create an error with its one-line message."""
        super().__init__(message)
        self.advice = tuple(advice)


class UsageError(MemscopeError):
    """The command line is invalid."""

    exit_status = 2


class ConfigError(UsageError):
    """A flag, a variable or the configuration file has an invalid value."""


class SessionError(MemscopeError):
    """A session file is invalid or unreadable; the message names the file, the line and the field."""


class PromptError(MemscopeError):
    """A session cannot be rendered as token ids for this model."""


class ScorerError(MemscopeError):
    """The scorer refused a request or returned an unusable response."""


class ScorerGoneError(ScorerError):
    """The scorer is no longer available: it stopped, crashed, or never started."""


class UntrustedScorerError(ScorerGoneError):
    """The scorer's numbers are inconsistent: it is not used again, and none of its numbers were kept."""


class StoreError(MemscopeError):
    """The state database is unavailable."""


class TrainingError(MemscopeError):
    """A training request was refused, failed, or has an unknown outcome."""


class RecordError(MemscopeError):
    """`memscope record` cannot listen on its port."""


class CommandError(MemscopeError):
    """The command that `memscope record` was given cannot be run."""

    def __init__(self, message: str, exit_status: int) -> None:
        """Make an error.

        Args:
            message: One clear line.
            exit_status: 127 if there is no such command, 126 if it cannot be executed, as in a shell.
        """
        super().__init__(message)
        self.exit_status = exit_status
