"""Nobody but the owner reads what memscope keeps, whatever the umask and whatever was there before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from memscope.store.database import Database
from memscope.store.private import make_private_folder, open_private, restrict_permissions
from memscope.store.settings import Settings


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    found = {".": folder} | {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


def test_a_new_state_folder_and_its_database_files_are_private(tmp_path: Path) -> None:
    database = Database(tmp_path / "a" / "state")
    Settings(database).set("threshold", 2.0)
    assert modes(tmp_path / "a") == {
        ".": 0o700,
        "state": 0o700,
        "state/memscope.db": 0o600,
        "state/memscope.db-wal": 0o600,
        "state/memscope.db-shm": 0o600,
    }
    database.close()


def test_an_existing_state_folder_is_restricted_with_its_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "tokenizers" / "abc").mkdir(parents=True)
    for name in ("debug.log", "debug.log.1", "clipboard.txt", "memscope.db.damaged-1", "tokenizers/abc/tokenizer.json"):
        (tmp_path / name).write_text("private")
    Database(tmp_path).close()
    found = modes(tmp_path)
    assert {found.pop(name) for name in (".", "tokenizers", "tokenizers/abc")} == {0o700}
    assert len(found) == 6
    assert set(found.values()) == {0o600}


def test_a_damaged_database_is_renamed_with_restricted_permissions(tmp_path: Path) -> None:
    (tmp_path / "memscope.db").write_bytes(b"not a database at all" * 100)
    Database(tmp_path).close()
    found = modes(tmp_path)
    assert found.pop(".") == 0o700
    assert (len(found), set(found.values())) == (2, {0o600})


def test_in_a_folder_with_other_files_only_own_files_are_restricted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("read me")
    (tmp_path / "debug.log").write_text("private")
    database = Database(tmp_path)
    found = modes(tmp_path)
    assert (found["."], found["thesis.txt"]) == (0o755, 0o644)
    assert (found["debug.log"], found["memscope.db"], found["memscope.db-wal"]) == (0o600, 0o600, 0o600)
    assert database.notes == []
    database.close()


def test_a_link_in_the_state_folder_restricts_nothing_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "notes.txt"
    elsewhere.write_text("read me")
    state = tmp_path / "state"
    make_private_folder(state)
    (state / "clipboard.txt").symlink_to(elsewhere)
    (state / "tokenizers").symlink_to(tmp_path)
    assert restrict_permissions(state) == []
    assert modes(tmp_path)["notes.txt"] == 0o644


def test_what_cannot_be_restricted_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refused)
    database = Database(tmp_path)
    assert database.notes == [f"other users can read {tmp_path}: its mode cannot be changed"]
    assert database.path is not None
    database.close()


def test_an_open_file_is_closed_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "clipboard.txt"
    path.write_text("old")
    path.chmod(0o644)
    with open(path, "w", opener=open_private) as file:
        assert modes(tmp_path)["clipboard.txt"] == 0o600
        file.write("new")
    assert path.read_text() == "new"
