"""The state database: opened safely whatever is on the disk."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memscope.errors import StoreError
from memscope.store.database import Database
from memscope.store.migrations import SCHEMA_VERSION
from memscope.store.settings import Settings


def test_a_setting_survives_reopening(tmp_path: Path) -> None:
    database = Database(tmp_path)
    Settings(database).set("threshold", 2.5)
    database.close()
    again = Database(tmp_path)
    assert Settings(again).get("threshold", 1.0) == 2.5
    assert again.notes == []
    again.close()


def test_a_setting_of_another_type_gives_the_default(tmp_path: Path) -> None:
    database = Database(tmp_path)
    Settings(database).set("alternates", "yes")
    assert Settings(database).get("alternates", False) is False
    database.close()


def test_a_file_that_is_not_a_database_is_renamed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "memscope.db").write_bytes(b"not a database at all" * 100)
    database = Database(tmp_path)
    assert "renamed to" in database.notes[0]
    kept = [path for path in tmp_path.iterdir() if "damaged" in path.name]
    assert [path.read_bytes() for path in kept] == [b"not a database at all" * 100]
    database.close()


def test_a_database_damaged_in_the_middle_is_renamed(tmp_path: Path) -> None:
    database = Database(tmp_path)
    Settings(database).set("note", "x" * 20_000)
    database.close()
    path = tmp_path / "memscope.db"
    raw = bytearray(path.read_bytes())
    raw[4096:12_000] = b"\xff" * (12_000 - 4096)
    path.write_bytes(raw)
    again = Database(tmp_path)
    assert "damaged" in again.notes[0]
    assert Settings(again).get("note", "") == ""
    again.close()


def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    Database(tmp_path).close()
    path = tmp_path / "memscope.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer memscope"):
        Database(tmp_path)
    assert path.read_bytes() == before


def test_a_newer_file_that_this_version_cannot_even_read_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "memscope.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE later (a)")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE later (a) OF A KIND THAT IS YET TO COME'")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer memscope"):
        Database(tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["memscope.db"]


def test_a_folder_that_cannot_be_created_means_memory_and_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    database = Database(tmp_path / "file" / "state")
    assert "running without cache" in database.notes[0]
    Settings(database).set("threshold", 3.0)
    assert Settings(database).get("threshold", 1.0) == 3.0
    database.close()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path)

    def half() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO settings VALUES ('a', '1')")
            connection.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(StoreError, match="nowhere"):
        half()
    assert Settings(database).get("a", 0) == 0
    database.close()


def test_two_open_databases_see_each_others_changes(tmp_path: Path) -> None:
    one, two = Database(tmp_path), Database(tmp_path)
    Settings(one).set("n", 1)
    Settings(two).set("n", 2)
    assert Settings(one).get("n", 0) == 2
    one.close()
    two.close()


def test_a_database_of_another_program_is_renamed(tmp_path: Path) -> None:
    Database(tmp_path).close()
    with sqlite3.connect(tmp_path / "memscope.db") as connection:
        connection.execute("DROP TABLE settings")
    database = Database(tmp_path)
    (note,) = database.notes
    assert "it has no table settings" in note
    assert database.path is not None
    database.close()
    assert len(list(tmp_path.glob("memscope.db.damaged-*"))) >= 1


def test_memscopes_that_start_together_share_a_fresh_folder(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom memscope.store.database import Database\nsys.stdin.readline()\n"
    )
    program += "notes = [Database(Path(sys.argv[1]) / str(n)).notes for n in range(30)]\nsys.exit(any(notes))\n"
    command = [sys.executable, "-c", program, str(tmp_path)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(timeout=60) for process in started] == [0] * 4
