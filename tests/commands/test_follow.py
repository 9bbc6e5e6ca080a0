"""`memscope --follow`: which file is followed, what is allowed, and which mistakes are one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from memscope.cli import main
from memscope.commands import screen as command
from memscope.config import Config, load_config, recordings_folder
from memscope.errors import SessionError, UsageError
from memscope.run.finetuning import FineTuning
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.ui.options import UiOptions
from tests.conftest import SMALL_SESSION


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[Following]:
    """What the screen would follow, instead of a screen."""
    shown: list[Following] = []

    def show(run: Run, *, following: Following) -> int:
        shown.append(following)
        return 0

    monkeypatch.setattr(command, "run_app", show)
    return shown


def test_without_a_session_the_newest_recording_is_followed(tmp_path: Path, followed: list[Following]) -> None:
    config = Config(follow=True, state=str(tmp_path))
    assert command.screen(None, config) == 0
    assert followed[0].waiting_for == f"waiting for a recording in {recordings_folder(config)}"
    recordings_folder(config).mkdir()
    recording = recordings_folder(config) / "a.jsonl"
    recording.write_bytes(SMALL_SESSION)
    assert command.screen(None, config) == 0
    assert (followed[1].name, followed[1].waiting_for) == (str(recording), "")


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path, followed: list[Following]) -> None:
    assert command.screen(str(tmp_path / "live.jsonl"), Config(follow=True, state=str(tmp_path))) == 0
    assert followed[0].status == "waiting"


def test_a_file_that_cannot_be_followed_is_an_error(tmp_path: Path, followed: list[Following]) -> None:
    path = tmp_path / "chat.json"
    path.write_text('{"messages": []}')
    with pytest.raises(SessionError, match="cannot be followed; open it without --follow"):
        command.screen(str(path), Config(follow=True, state=str(tmp_path)))
    assert not followed


def test_following_needs_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--follow", "--state", str(tmp_path)]) == 2
    assert "--follow needs a terminal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "read_only"),
    [
        ({}, False),
        ({"follow": True}, True),
        ({"read_only": True}, True),
        ({"follow": True, "read_only": False}, False),
    ],
)
def test_a_followed_session_is_read_only_unless_told_otherwise(
    tmp_path: Path, flags: dict[str, bool], read_only: bool
) -> None:
    (tmp_path / "config.toml").touch()
    config = load_config(flags, {"MEMSCOPE_CONFIG": str(tmp_path / "config.toml")})
    assert config.is_read_only is read_only
    assert UiOptions.of(config).read_only is read_only


@pytest.mark.anyio
async def test_read_only_refuses_what_sends_or_changes_wherever_it_is_asked(
    tmp_path: Path, small_session: Session
) -> None:
    database = Database(tmp_path)
    tuning = FineTuning(Run(small_session, Config(read_only=True, state=str(tmp_path)), database))
    try:
        with pytest.raises(UsageError, match="read-only"):
            tuning.candidates.decide([], "approved")
        with pytest.raises(UsageError, match="read-only"):
            tuning.candidates.threshold = 2.0
        with pytest.raises(UsageError, match="read-only"):
            tuning.candidates.alternates_on = True
        with pytest.raises(UsageError, match="read-only"):
            await tuning.shipping.send(None)  # type: ignore[arg-type]
        assert tuning.candidates.threshold == 1.0
        assert not tuning.candidates.alternates_on
    finally:
        database.close()
