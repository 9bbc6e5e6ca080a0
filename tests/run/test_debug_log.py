"""The debug log: every step, bounded, and no session text unless asked for."""

from pathlib import Path

import pytest

from memscope.config import Config
from memscope.run import debug_log
from memscope.run.debug_log import DebugLog
from memscope.scoring.events import RowDone, RowFailed
from memscope.session.nodes import Session

DONE = RowDone("necessity", 1, 2.5, 3, cached=False)


def test_a_row_is_logged_with_its_maximum_and_without_its_key(small_session: Session, tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)), small_session)
    log(DONE)
    log(RowFailed("necessity", 0, "the model gave nan"))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert "maximum=2.5, cells_set=3" in text
    assert "the model gave nan" in text
    assert "mira/room" not in text


def test_debug_names_the_memories(small_session: Session, tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path), debug=True), small_session)
    log(DONE)
    log.close()
    assert "key='mira/room'" in (tmp_path / "debug.log").read_text()


def test_the_file_is_bounded(small_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debug_log, "_BYTES", 4096)
    log = DebugLog(Config(state=str(tmp_path)), small_session)
    for _ in range(500):
        log(DONE)
    log.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 4096


def test_a_folder_that_cannot_be_used_is_borne_in_silence(small_session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = DebugLog(Config(state=str(tmp_path / "file" / "state")), small_session)
    log(DONE)
    log.close()
