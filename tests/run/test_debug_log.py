"""The debug log: every step, bounded, and no session text unless asked for."""

from pathlib import Path

import pytest

from memscope.config import Config
from memscope.run import debug_log
from memscope.run.debug_log import DebugLog
from memscope.scoring.events import AlternateGrew, RowDone, RowFailed, ScorerLost
from memscope.session.nodes import Session

DONE = RowDone("necessity", "mira/room", 2.5, 3, cached=False)


def test_a_row_is_logged_with_its_maximum_and_without_its_key(small_session: Session, tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)), small_session)
    log(DONE)
    log(RowFailed("necessity", "db/port", "the model gave nan"))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert "maximum=2.5, cells_set=3" in text
    assert "the model gave nan" in text
    assert "memory 1" in text
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


def test_an_unusable_folder_is_ignored(small_session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = DebugLog(Config(state=str(tmp_path / "file" / "state")), small_session)
    log(DONE)
    log.close()


def test_debug_is_needed_for_the_words_of_an_alternate(small_session: Session, tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)), small_session)
    log(AlternateGrew("r0", "The port is 7432."))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert "text=(17 characters)" in text
    assert "7432" not in text


def caught(password: str) -> BaseException:
    try:
        try:
            raise ValueError(f"cannot parse {password!r}")
        except ValueError as error:
            raise RuntimeError("while reading the answer") from error
    except RuntimeError as error:
        return error


def test_an_unexpected_error_is_one_line_for_the_user_and_a_traceback_in_the_log(tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)))
    line = log.exception(caught("open sesame"))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert line.startswith("unexpected RuntimeError at test_debug_log.py:")
    assert str(tmp_path / "debug.log") in line
    assert "in caught" in text
    assert text.index("ValueError") < text.index("RuntimeError")


def test_neither_locals_nor_messages_are_in_the_traceback(tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)))
    line = log.exception(caught("open sesame"))
    log.close()
    assert "sesame" not in line + (tmp_path / "debug.log").read_text()


def test_debug_adds_the_messages(tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path), debug=True))
    log.exception(caught("open sesame"))
    log.close()
    assert "ValueError: cannot parse 'open sesame'" in (tmp_path / "debug.log").read_text()


def test_every_error_of_a_group_is_written(tmp_path: Path) -> None:
    log = DebugLog(Config(state=str(tmp_path)))
    log.exception(ExceptionGroup("several", [KeyError("one"), LookupError("two")]))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert [name in text for name in ("KeyError", "LookupError", "ExceptionGroup")] == [True] * 3


def test_endless_recursion_stays_short(tmp_path: Path) -> None:
    def even(number: int) -> int:
        return odd(number + 1)

    def odd(number: int) -> int:
        return even(number + 1)

    log = DebugLog(Config(state=str(tmp_path)))
    with pytest.raises(RecursionError) as error:
        even(0)
    log.exception(error.value)
    log.close()
    assert len((tmp_path / "debug.log").read_text().splitlines()) < 200


@pytest.mark.parametrize("debug", [False, True])
def test_keys_and_passwords_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debug: bool) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-0123456789")
    log = DebugLog(Config(state=str(tmp_path), api_key_env="OTHER_KEY", debug=debug))
    log(ScorerLost("401 for key sk-0123456789 at http://mira:hunter2@host/v1"))
    log.exception(ValueError("sk-0123456789"))
    log.close()
    text = (tmp_path / "debug.log").read_text()
    assert "http://host/v1" in text
    assert "sk-0123456789" not in text
    assert "hunter2" not in text


def test_the_file_is_readable_by_its_owner_only(small_session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    DebugLog(Config(state=str(folder)), small_session).close()
    (folder / "debug.log").chmod(0o644)
    DebugLog(Config(state=str(folder)), small_session).close()
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "debug.log")] == ["0o700", "0o600"]
