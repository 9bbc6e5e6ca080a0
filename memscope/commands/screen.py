"""`memscope [SESSION]`: open the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.commands.opening import load_scorable_session, session_file
from memscope.config import Config, recordings_folder
from memscope.run.debug_log import DebugLog
from memscope.run.run import Run
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.ui.app import run_app

if TYPE_CHECKING:
    from memscope.run.following import Following
    from memscope.session.follow import FollowedFile

__all__ = ["follow_file", "screen"]


def screen(path: str | None, config: Config) -> int:
    """Open a session on the screen and return the exit status.

    Raises:
        MemscopeError: The session cannot be read, or has no memories or responses; or it cannot be followed.
    """
    if config.follow:
        return follow_file(path, config)
    return _show(load_scorable_session(path, config), config)


def follow_file(
    path: str | None,
    config: Config,
    follow: Callable[[Run, FollowedFile, Sequence[str]], Following] | None = None,
) -> int:
    """Follow a file on the screen and return the exit status.

    Args:
        path: The file; None for the newest recording.
        config: The options.
        follow: Follows the file with a run, given what the first look at the file found; None for `Following`.

    Raises:
        MemscopeError: It cannot be followed.
    """
    # Imported here, since a session that is not followed is painted without it.
    from memscope.run.following import Following
    from memscope.session.follow import FollowedFile, empty_session

    if path is None and config.source_format is None:
        place, newest = recordings_folder(config), True
    else:
        place = Path(session_file(path, config))
        newest = place.is_dir()
    file = FollowedFile(
        place,
        newest=newest,
        rules=config.rules,
        pattern=config.memory_regex,
        source_format=config.source_format,
        project=config.project,
        pick=config.pick,
    )
    first = file.poll()
    session = first.session or empty_session(file)
    return _show(session, config, lambda run: (follow or Following)(run, file, first.notices))


def _show(session: Session, config: Config, follow: Callable[[Run], Following] | None = None) -> int:
    database = Database(config.state_folder())
    run = Run(session, config, database)
    log = DebugLog(config, session)
    run.listen(log)
    try:
        return run_app(run, following=follow(run) if follow else None)
    finally:
        log.close()
        database.close()
