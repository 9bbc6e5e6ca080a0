"""`memscope demo`: the bundled session, or an agent at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from memscope.commands.screen import follow_file, screen
from memscope.config import Config, recordings_folder
from memscope.record.writer import new_recording

if TYPE_CHECKING:
    from memscope.run.run import Run
    from memscope.session.follow import FollowedFile

__all__ = ["demo", "live_demo"]


def demo(config: Config) -> int:
    """Open the bundled session on the screen and return the exit status.

    Raises:
        MemscopeError: No scorer is available.
    """
    return screen(None, config)


def live_demo(config: Config, pace: float) -> int:
    """Let an agent talk, record it, follow the recording on the screen, and return the exit status.

    Args:
        config: The options.
        pace: Seconds between two turns of the agent.

    Raises:
        MemscopeError: The recording cannot be written.
    """
    # Imported here, since the demo that only shows the bundled session is painted without it.
    from memscope.demo.live.talking import TalkedFollowing

    recording = new_recording(recordings_folder(config))
    config = msgspec.structs.replace(config, follow=True)

    def follow(run: Run, file: FollowedFile, notices: Sequence[str]) -> TalkedFollowing:
        return TalkedFollowing(run, file, notices, recording, pace)

    return follow_file(str(recording), config, follow)
