"""A run from its state database to its end, as a context manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from memscope.config import Config
from memscope.run.run import Run
from memscope.scoring.events import Event
from memscope.session.nodes import Session
from memscope.store.database import Database

__all__ = ["run_context"]


@asynccontextmanager
async def run_context(session: Session, config: Config, *listeners: Callable[[Event], None]) -> AsyncIterator[Run]:
    """Open a run with the configured state database; on exit, close both.

    Args:
        session: What is measured.
        config: All options.
        listeners: Called with every event until everything is closed.
    """
    database = Database(config.state_folder())
    try:
        run = Run(session, config, database)
        for listener in listeners:
            run.listen(listener)
        try:
            yield run
        finally:
            await run.close()
    finally:
        database.close()
