from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from memscope.config import Config
from memscope.run.session_ids import shared_id_warning
from memscope.scoring.events import Notice
from memscope.session.formats.native import read_native
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.store.settings import Settings
from tests.conftest import SMALL_SESSION
from tests.run.test_run import opened


def session_in(path: Path, question: str = "Which port") -> Session:
    data = SMALL_SESSION.replace(b"Which port", question.encode())
    path.write_bytes(data)
    return read_native(data, str(path))


@pytest.fixture
def settings() -> Settings:
    return Settings(Database(None))


def test_a_copy_and_a_longer_version_are_the_same_session(tmp_path: Path, settings: Settings) -> None:
    small = session_in(tmp_path / "a.jsonl")
    assert shared_id_warning(small, settings) is None
    assert shared_id_warning(session_in(tmp_path / "copy.jsonl"), settings) is None
    assert shared_id_warning(replace(small, nodes=(*small.nodes, *small.nodes[-2:])), settings) is None


def test_another_session_with_the_same_id_is_named_each_time(tmp_path: Path, settings: Settings) -> None:
    first, other = session_in(tmp_path / "a.jsonl"), session_in(tmp_path / "b.jsonl", "What port")
    assert shared_id_warning(first, settings) is None
    for _ in range(2):
        warning = shared_id_warning(other, settings)
        assert warning is not None
        assert warning.startswith(f"another session has the id 'small' too ({tmp_path / 'a.jsonl'})")
    assert shared_id_warning(first, settings) is None


@pytest.mark.parametrize("gone", [True, False])
def test_a_session_in_the_place_of_another_is_named_once(tmp_path: Path, settings: Settings, gone: bool) -> None:
    path = tmp_path / "a.jsonl"
    assert shared_id_warning(session_in(path), settings) is None
    if gone:
        path.unlink()
        path = tmp_path / "b.jsonl"
    other = session_in(path, "What port")
    before = f"{path} held another session with the id 'small' before: "
    warning = shared_id_warning(other, settings)
    assert warning is not None
    assert warning.startswith("another session has the id 'small' too" if gone else before)
    assert shared_id_warning(other, settings) is None


def test_a_session_of_no_file_or_without_responses_is_not_remembered(tmp_path: Path, settings: Settings) -> None:
    small = session_in(tmp_path / "a.jsonl")
    for one in (replace(small, source=replace(small.source, path="")), replace(small, nodes=small.nodes[:4])):
        assert shared_id_warning(one, settings) is None
    assert shared_id_warning(session_in(tmp_path / "b.jsonl", "What port"), settings) is None


@pytest.mark.anyio
async def test_a_run_tells_it(tmp_path: Path, config: Config) -> None:
    async with opened(session_in(tmp_path / "a.jsonl"), config) as (run, _):
        await run.open()
    async with opened(session_in(tmp_path / "b.jsonl", "What port"), config) as (run, events):
        await run.open()
    assert any(isinstance(event, Notice) and "another session has the id" in event.text for event in events)
