"""Scores are found again by what they depend on, and by nothing else."""

import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import StoreError
from memscope.store import opening, scores
from memscope.store.database import Database
from memscope.store.scores import ScoreStore, score_keys

IDS = array("I", range(100))


def test_a_range_keeps_its_key_when_the_sequence_grows() -> None:
    longer = array("I", [*IDS, 7, 8, 9])
    assert score_keys("m", IDS, [(10, 20), (50, 60)]) == score_keys("m", longer, [(10, 20), (50, 60)])


@given(st.integers(0, 59), st.integers(200, 300))
def test_a_change_before_or_in_a_range_changes_its_key(position: int, other: int) -> None:
    changed = array("I", IDS)
    changed[position] = other
    assert score_keys("m", IDS, [(40, 60)]) != score_keys("m", changed, [(40, 60)])


def test_scorer_and_start_are_part_of_the_key() -> None:
    keys = {score_keys(scorer, IDS, [(start, 60)])[0] for scorer in ("m", "n") for start in (40, 41)}
    assert len(keys) == 4


def test_stored_scores_can_be_read_back(tmp_path: Path) -> None:
    store = ScoreStore(Database(tmp_path))
    keys = [bytes([n]) * 20 for n in range(200)] + [n.to_bytes(20, "big") for n in range(1000)]
    store.put({key: (-float(n), array("f", [-0.5, -n])) for n, key in enumerate(keys)})
    found = store.get([*keys, b"unknown"])
    assert len(found) == len(set(keys))
    assert found[keys[3]] == (-3.0, array("f", [-0.5, -3.0]))
    store.put({keys[3]: (-9.0, array("f", [-9.0]))})
    assert store.get(keys[3:4]) == {keys[3]: (-9.0, array("f", [-9.0]))}


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store = ScoreStore(database)
    old, new = b"o" * 20, b"n" * 20
    store.put({old: (-1.0, array("f", [-1.0] * 100)), new: (-2.0, array("f", [-1.0] * 100))})
    with database.transaction() as connection:
        connection.execute("UPDATE scores SET used = 1 WHERE key = ?", (old,))
    assert store.trim(limit=600) == 1
    assert set(store.get([old, new])) == {new}


class _Meanwhile(list[bytes]):
    """Keys that let another process write between the first query for them and the second."""

    def __init__(self, keys: list[bytes], write: Callable[[], None]) -> None:
        super().__init__(keys)
        self._write = write

    def __getitem__(self, part: slice) -> list[bytes]:  # type: ignore[override]
        if part.start:
            self._write()
        return super().__getitem__(part)


def test_another_process_that_writes_while_scores_are_read_is_no_failure(tmp_path: Path) -> None:
    here, elsewhere = Database(tmp_path), Database(tmp_path)
    store, other = ScoreStore(here), ScoreStore(elsewhere)
    key = b"k" * 20
    store.put({key: (-1.0, array("f", [-1.0]))})
    with here.transaction() as connection:
        connection.execute("UPDATE scores SET used = 1")
    keys = _Meanwhile([key] + [b"unknown"] * 600, lambda: other.put({b"n" * 20: (-2.0, array("f"))}))
    assert set(store.get(keys)) == {key}
    assert store.notes == []
    with here.transaction() as connection:
        (used,) = connection.execute("SELECT used FROM scores WHERE key = ?", (key,)).fetchone()
    assert used > 1
    here.close()
    elsewhere.close()


@pytest.mark.parametrize(("pause", "attempts"), [(3600.0, 1), (0.0, 3)])
def test_a_database_that_is_held_elsewhere_is_waited_for_once_and_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, attempts: int
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(scores, "_PAUSE_SECONDS", pause)
    database = Database(tmp_path)
    store = ScoreStore(database)
    key = b"k" * 20
    store.put({key: (-1.0, array("f", [-1.0]))})
    with database.transaction() as connection:
        connection.execute("UPDATE scores SET used = 1")
    holder = sqlite3.connect(tmp_path / "memscope.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    failed: list[StoreError] = []

    def note(error: StoreError) -> None:
        failed.append(error)
        ScoreStore._note(store, error)

    monkeypatch.setattr(store, "_note", note)
    assert set(store.get([key])) == {key}, "reading goes on"
    for n in range(2):
        store.put({bytes([n]) * 20: (-1.0, array("f"))})
    assert len(failed) == attempts
    assert set(store.get([key])) == {key}
    holder.execute("ROLLBACK")
    holder.close()
    database.close()


def test_a_failure_to_write_is_noted_once_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path)
    store = ScoreStore(database)
    with sqlite3.connect(tmp_path / "memscope.db") as other:
        other.execute("DROP TABLE scores")
    other.close()
    for n in range(3):
        store.put({bytes([n]) * 20: (-1.0, array("f"))})
    assert store.get([b"x" * 20]) == {}
    assert len(store.notes) == 1
    assert "continuing without cache" in store.notes[0]
    database.close()
