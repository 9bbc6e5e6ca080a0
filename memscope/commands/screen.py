"""`memscope [SESSION]`: open the screen."""

from __future__ import annotations

from memscope.commands.opening import load_scorable_session
from memscope.config import Config
from memscope.run.debug_log import DebugLog
from memscope.run.run import Run
from memscope.store.database import Database
from memscope.ui.app import run_app

__all__ = ["screen"]


def screen(path: str | None, config: Config) -> int:
    """Open a session on the screen and return the exit status.

    Raises:
        MemscopeError: The session cannot be read, or has no memories or responses.
    """
    session = load_scorable_session(path, config)
    database = Database(config.state_folder())
    run = Run(session, config, database)
    log = DebugLog(config, session)
    run.listen(log)
    try:
        return run_app(run)
    finally:
        log.close()
        database.close()
