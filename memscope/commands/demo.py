"""`memscope demo`: the bundled session, or an agent at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from memscope.commands.screen import follow_file, screen
from memscope.config import Config, recordings_folder
from memscope.demo import session_path
from memscope.record.writer import RecordingWriter, new_recording

if TYPE_CHECKING:
    from memscope.run.run import Run
    from memscope.session.follow import FollowedFile

__all__ = ["demo", "live_demo"]

_TITLE = "an agent at work"


def demo(config: Config) -> int:
    """Open the bundled session on the screen and return the exit status.

    Raises:
        MemscopeError: No scorer is available.
    """
    return screen(str(session_path()), msgspec.structs.replace(config, follow=False, source_format=None))


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

    recording = new_recording(recordings_folder(config) / "demo")  # `memscope --follow` is for the user's own
    RecordingWriter(recording, title=_TITLE, client="memscope demo --live").close()  # the recorder continues it
    config = msgspec.structs.replace(config, follow=True, source_format=None)

    def follow(run: Run, file: FollowedFile, notices: Sequence[str]) -> TalkedFollowing:
        return TalkedFollowing(run, file, notices, recording, pace)

    return follow_file(str(recording), config, follow)
