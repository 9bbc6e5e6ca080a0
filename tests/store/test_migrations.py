"""A database of an older version climbs to the newest one, and loses nothing on the way but what is meant to go."""

import sqlite3
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from memscope.store import migrations
from memscope.store.alternates import Alternates
from memscope.store.database import Database
from memscope.store.decisions import Decisions
from memscope.store.ledger import EMBEDDED, Ledger
from memscope.store.migrations import SCHEMA_VERSION, TABLES, migrate
from memscope.store.settings import Settings

VERSION_1 = Path(__file__).with_name("version_1.sql")
"""A database as the first version of the schema left it, with rows in every table."""

PORT, RETRO, WELCOME, ROOM = (
    "c8f411567f568cca0871ff1e",
    "a622a3851988c5035a6b66f7",
    "c62633cce632ed276a0e3b9f",
    "4f30b2c7a15d56ad60520591",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state folder that version 1 left."""
    connection = sqlite3.connect(tmp_path / "memscope.db")
    connection.executescript(VERSION_1.read_text())
    connection.close()
    return tmp_path


def dump(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "memscope.db")
    version = connection.execute("PRAGMA user_version").fetchone()
    lines = [f"version {version[0]}", *connection.iterdump()]
    connection.close()
    return lines


def test_the_newest_version_has_the_tables_that_opening_looks_for() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    assert {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == TABLES
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_a_migrated_database_has_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    Database(old).close()
    Database(tmp_path / "new").close()

    def schema(folder: Path) -> set[tuple[str, str]]:
        connection = sqlite3.connect(folder / "memscope.db")
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        connection.close()
        return set(rows)

    assert schema(old) == schema(tmp_path / "new")


def test_what_a_user_decided_and_set_survives(old: Path) -> None:
    database = Database(old)
    assert (database.notes, database.path) == ([], old / "memscope.db")
    decisions = Decisions(database).decisions([PORT, RETRO, WELCOME, ROOM])
    assert decisions == {PORT: "approved", RETRO: "approved", WELCOME: "rejected"}
    settings = Settings(database)
    assert (settings.get("threshold", 1.0), settings.get("alternates", False)) == (2.5, True)
    assert settings.get("training_context", "without") == "with"
    assert settings.get("trusted http://10.0.0.1/v1/train", False)
    database.close()


def test_the_ledger_survives_with_every_mark(old: Path) -> None:
    database = Database(old)
    ledger = Ledger(database)
    trained, accepted, doubtful, failed, embedded, prepared = ledger.shipments("small")
    assert [s.state for s in (trained, accepted, doubtful)] == ["succeeded", "accepted", "in doubt"]
    assert [s.state for s in (failed, embedded, prepared)] == ["failed", "sent", "prepared"]
    assert (trained.job, trained.samples[0].divergence, accepted.samples[0].divergence) == ("job-1", 9.5, None)
    assert trained.proof is not None
    assert trained.proof["after"]["stripped"] == {"0": 0.5}
    assert (doubtful.error, failed.error, embedded.url[: len(EMBEDDED)]) == ("connection lost", "422 no", EMBEDDED)
    assert ledger.marks([PORT, RETRO, WELCOME, ROOM]) == {
        PORT: "trained",
        RETRO: "trained",
        WELCOME: "in doubt",
        ROOM: "sending",
    }
    ledger.settle()
    assert ROOM not in ledger.marks([ROOM]), "the processes that were sending it have ended"
    database.close()


@pytest.mark.anyio
async def test_alternates_survive_and_what_cannot_be_trusted_is_dropped(old: Path) -> None:
    database = Database(old)
    key = bytes.fromhex("06cc40b7e5a43fd4d0fb02ade5ecf121eb3ad74d")
    assert await Alternates(database).get(key) == array("I", [5, 6, 7])
    with database.transaction() as connection:
        for table in ("scores", "importance"):
            assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,), table
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'memories'").fetchall() == []
    database.close()


@pytest.mark.parametrize("table", ["memories", "scores"])
def test_a_table_that_the_migration_makes_or_drops_may_be_missing(old: Path, table: str) -> None:
    with sqlite3.connect(old / "memscope.db") as connection:
        connection.execute(f"DROP TABLE {table}")
    connection.close()
    database = Database(old)
    assert database.notes == []
    assert Ledger(database).marks([PORT]) == {PORT: "trained"}
    database.close()


def test_a_migrated_database_is_opened_again_as_it_is(old: Path) -> None:
    Database(old).close()
    before = dump(old)
    Database(old).close()
    assert dump(old) == before


STATEMENTS = len(list(migrations._statements(migrations._STEPS[1])))


@pytest.mark.parametrize("survived", range(STATEMENTS + 1))
def test_a_migration_that_is_killed_leaves_the_old_version_whole(old: Path, survived: int) -> None:
    before = dump(old)
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom memscope.store import migrations, database\n"
        "every = migrations._statements\n"
        "def dying(script):\n"
        f"    yield from list(every(script))[:{survived}]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "migrations._statements = dying\n"
        "database.Database(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(old)], check=False).returncode == -9
    assert dump(old) == before
    database = Database(old)
    assert database.notes == []
    assert Ledger(database).marks([PORT]) == {PORT: "trained"}
    database.close()


FAULTS = {
    "integer overflow": "SELECT abs(-9223372036854775808) FROM decisions;\n",
    "UNIQUE constraint failed": "INSERT INTO decisions SELECT * FROM decisions;\n",
}


@pytest.mark.parametrize("error", FAULTS)
def test_a_step_that_fails_is_no_damage_and_leaves_the_file_alone(
    old: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    before = dump(old)
    first, second = migrations._STEPS[:2]
    monkeypatch.setattr(migrations, "_STEPS", (first, second + FAULTS[error]))
    database = Database(old)
    assert database.path is None
    assert error in database.notes[0]
    database.close()
    assert dump(old) == before
    assert not list(old.glob("*damaged*"))


def test_processes_that_migrate_together_do_it_once(old: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom memscope.store.database import Database\nsys.stdin.readline()\n"
    )
    program += "database = Database(Path(sys.argv[1]))\nsys.exit(bool(database.notes) or database.path is None)\n"
    command = [sys.executable, "-c", program, str(old)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(timeout=60) for process in started] == [0] * 4
    database = Database(old)
    assert Ledger(database).marks([PORT, WELCOME]) == {PORT: "trained", WELCOME: "in doubt"}
    database.close()


def test_a_schema_version_that_no_memscope_wrote_is_set_aside(old: Path) -> None:
    with sqlite3.connect(old / "memscope.db") as connection:
        connection.execute("PRAGMA user_version = -3")
    connection.close()
    database = Database(old)
    assert "damaged (it has schema version -3)" in database.notes[0]
    database.close()
