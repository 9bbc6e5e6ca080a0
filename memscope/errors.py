"""Every error that a user can meet, as one small hierarchy.

The message of each is one clear line: what is wrong, where, and what to do. The commands print it on stderr,
the screen shows it in the log; a traceback is never part of it.
"""

__all__ = [
    "ConfigError",
    "MemscopeError",
    "PromptError",
    "ScorerError",
    "ScorerGoneError",
    "SessionError",
    "StoreError",
    "TrainingError",
    "UntrustedScorerError",
    "UsageError",
]


class MemscopeError(Exception):
    """The root of all errors that memscope raises on purpose."""


class UsageError(MemscopeError):
    """The command line asks for something that cannot be; exit status 2."""


class ConfigError(UsageError):
    """A flag, a variable or the configuration file holds a value that cannot be used."""


class SessionError(MemscopeError):
    """A session file cannot be read; the message names the file, the line and the field."""


class PromptError(MemscopeError):
    """A session cannot be turned into token ids for this model."""


class ScorerError(MemscopeError):
    """The scorer refused a request, or answered with something that cannot be trusted."""


class ScorerGoneError(ScorerError):
    """The scorer cannot be used any more: it is down, died, or never started."""


class UntrustedScorerError(ScorerGoneError):
    """The scorer's numbers contradict each other: it is not asked again, and none of them was used."""


class StoreError(MemscopeError):
    """The state database cannot be used."""


class TrainingError(MemscopeError):
    """A training request was refused, failed, or its outcome is in doubt."""
