"""Shared setup of the commands: load a session, open the state database, open and close a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from memscope.commands.progress import ProgressLine
from memscope.config import Config
from memscope.demo import session_path
from memscope.errors import SessionError
from memscope.run.context import run_context
from memscope.run.debug_log import DebugLog
from memscope.run.finetuning import FineTuning
from memscope.run.run import Run
from memscope.session.load import load_session, problems
from memscope.session.nodes import Session

__all__ = [
    "load_configured_session",
    "load_scorable_session",
    "open_finetuning",
    "open_run",
    "session_file",
]


def session_file(path: str | None, config: Config) -> str | Path:
    """Return the session file to open: the given one, or else a transcript of the configured agent, or the demo.

    Raises:
        UsageError: No transcript was chosen.
    """
    if path or not config.source_format:
        return path or session_path()
    from memscope.commands.transcripts import chosen_transcript

    return chosen_transcript(config.source_format)


def load_configured_session(path: str | Path | None, config: Config) -> Session:
    """Read a session file with the configured detectors; without a path, the one that `session_file` returns.

    Raises:
        SessionError: It cannot be read.
        UsageError: No transcript was chosen.
    """
    return load_session(
        path or session_file(None, config),
        rules=config.rules,
        pattern=config.memory_regex,
        source_format=config.source_format,
        project=config.project,
        pick=config.pick,
    )


def load_scorable_session(path: str | None, config: Config) -> Session:
    """Read a session and check that it has memories and responses.

    Raises:
        SessionError: It cannot be read, or has no memories or no responses.
        UsageError: No transcript was chosen.
    """
    file = session_file(path, config)
    session = load_configured_session(file, config)
    if trouble := problems(session):
        from memscope.commands.advising import advice_for

        raise SessionError(f"{file}: {trouble[0]}", advice_for(session, config))
    return session


@asynccontextmanager
async def open_run(session: Session, config: Config) -> AsyncIterator[Run]:
    """Open a run that reports to stderr and the debug log, and close everything on exit."""
    log = DebugLog(config, session)
    try:
        async with run_context(session, config, ProgressLine(), log) as run:
            yield run
    finally:
        log.close()


@asynccontextmanager
async def open_finetuning(session: Session, config: Config) -> AsyncIterator[FineTuning]:
    """Open a run as `open_run` does, for fine-tuning."""
    async with open_run(session, config) as run:
        yield FineTuning(run)
