"""A file that another process writes is read as it grows, and nothing that happens to it stops that."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.errors import SessionError, UsageError
from memscope.session import follow
from memscope.session.follow import FollowedFile, empty_session, newest_file
from memscope.session.formats.lines import LINE_LIMIT
from memscope.session.formats.registry import format_named
from memscope.session.load import load_session
from memscope.session.text import responses
from tests.conftest import SMALL_SESSION
from tests.session.formats.test_registry import FILES

LINES = SMALL_SESSION.splitlines(keepends=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.jsonl"


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(lines))


def count(file: FollowedFile) -> int | None:
    """How many nodes a look at the file finds; None if there is no new version."""
    session = file.poll().session
    return None if session is None else len(session.nodes)


def test_only_what_was_appended_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(path, *LINES[:4])
    file = FollowedFile(path)
    assert count(file) == 3
    read: list[int] = []
    pieces = follow._pieces

    def noted(*given: Any) -> Iterator[bytes]:
        for piece in pieces(*given):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(follow, "_pieces", noted)
    append(path, LINES[4])
    assert count(file) == 4
    assert read == [len(LINES[4])]
    assert count(file) is None, "nothing is new"
    append(path, *LINES[5:])
    session = file.poll().session
    assert session is not None
    assert session.nodes == load_session(path).nodes


def test_a_burst_is_one_new_version(path: Path) -> None:
    append(path, LINES[0])
    file = FollowedFile(path)
    assert count(file) == 0
    append(path, *LINES[1:] * 200)
    assert count(file) == 200 * (len(LINES) - 1)
    assert count(file) is None


def test_a_half_written_last_line_waits(path: Path) -> None:
    append(path, *LINES[:2], LINES[2][:20])
    file = FollowedFile(path)
    assert count(file) == 1
    append(path, LINES[2][20:-1])
    assert count(file) is None
    append(path, b"\n")
    assert count(file) == 2


@settings(max_examples=50)
@given(st.lists(st.integers(0, len(SMALL_SESSION)), max_size=8))
def test_where_a_write_ends_makes_no_difference(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    path = tmp_path_factory.mktemp("cuts") / "live.jsonl"
    file = FollowedFile(path)
    last = None
    edges = [0, *sorted(cuts), len(SMALL_SESSION)]
    for start, end in pairwise(edges):
        append(path, SMALL_SESSION[start:end])
        update = file.poll()
        assert update.notices == ()
        last = update.session or last
    assert last is not None
    assert last.nodes == load_session(path).nodes


def test_a_file_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    file = FollowedFile(path)
    assert count(file) is None
    assert file.waiting == f"waiting for {path}"
    assert empty_session(file).header.title == file.waiting
    path.touch()
    assert file.poll().session is None
    append(path, LINES[0])
    assert count(file) == 0
    assert file.waiting == ""


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        ("truncated", "was truncated: reading it from the start"),
        ("rewritten", "was rewritten: reading it from the start"),
        ("rotated", "was replaced by another file: reading it from the start"),
    ],
)
def test_a_file_that_is_replaced_is_read_from_the_start(path: Path, happens: str, words: str) -> None:
    append(path, *LINES)
    file = FollowedFile(path)
    file.poll()
    other = b"".join(LINES[:1] + LINES[4:6])
    if happens == "truncated":
        path.write_bytes(other)
    elif happens == "rewritten":
        path.write_bytes(other + b"".join(LINES[1:4] * 4))
        assert path.stat().st_size >= len(SMALL_SESSION)
    else:
        path.rename(path.with_suffix(".1"))
        path.write_bytes(other)
    update = file.poll()
    assert update.notices == (f"{path} {words}",)
    assert update.session is not None
    assert update.session.nodes == load_session(path).nodes
    assert file.poll().notices == ()


def test_a_file_that_is_deleted_and_created_again_is_followed_again(path: Path) -> None:
    append(path, *LINES)
    file = FollowedFile(path)
    file.poll()
    path.unlink()
    update = file.poll()
    assert update == follow.FileUpdate(notices=(f"{path} was deleted: waiting for {path} to be created again",))
    assert file.waiting
    assert file.poll() == follow.FileUpdate(), "it is said once"
    append(path, *LINES[:3])
    update = file.poll()
    assert update.notices == (f"{path} is there again: reading it from the start",)
    assert update.session is not None
    assert len(update.session.nodes) == 2
    assert file.waiting == ""


def test_an_invalid_line_is_skipped_and_reported_once(path: Path) -> None:
    append(path, *LINES[:2], b"not JSON\n", b'{"type":"smoke"}\n', *LINES[2:4])
    file = FollowedFile(path)
    update = file.poll()
    assert update.session is not None
    assert len(update.session.nodes) == 3
    not_json, unknown = update.notices
    assert not_json.startswith(f"skipped: {path}:3: not JSON")
    assert unknown.startswith(f"skipped: {path}:4: ")
    append(path, LINES[4], b"{}\n" * 5)
    update = file.poll()
    assert len(update.notices) == 4
    assert update.notices[0].startswith(f"skipped: {path}:8: ")
    assert update.notices[3] == "skipped: 2 more lines of the same update"


def test_a_line_that_is_too_long_costs_no_memory_and_is_skipped(path: Path) -> None:
    append(path, *LINES[:2])
    file = FollowedFile(path)
    file.poll()
    for _ in range(3):
        append(path, b"x" * (LINE_LIMIT // 2))
        assert file.poll().notices == ()
    assert file._progress is not None
    assert len(file._progress.pending) == LINE_LIMIT + 1
    append(path, b"\n", LINES[2])
    update = file.poll()
    assert update.session is not None
    assert len(update.session.nodes) == 2
    (skipped,) = update.notices
    assert f"{path}:3: the line is longer than 32 MiB" in skipped


def test_an_invalid_header_is_an_error_until_the_file_is_replaced(path: Path) -> None:
    append(path, b'{"type":"session","version":99,"id":"x"}\n', LINES[1])
    file = FollowedFile(path)
    with pytest.raises(SessionError, match="version 1, which this memscope supports"):
        file.poll()
    append(path, LINES[2])
    assert file.poll() == follow.FileUpdate(), "it is raised once"
    path.write_bytes(b"".join(LINES[:2]))
    assert count(file) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"messages":[{"role":"user","content":"Hi"}]}\n', "format chat is one document and cannot be followed"),
        (b'{"messages":[{"role":"user","content":"Hi"}]}', "format chat is one document and cannot be followed"),
        (b"# Notes\n\nThe user is called Mira.\n", "not JSON"),
    ],
)
def test_what_cannot_be_followed_is_one_clear_line(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(SessionError, match=words):
        FollowedFile(path).poll()


def test_a_folder_or_a_pipe_cannot_be_followed(tmp_path: Path, path: Path) -> None:
    os.mkfifo(path)
    for place in (path, tmp_path):
        with pytest.raises(SessionError, match="not a regular file"):
            FollowedFile(place).poll()


def test_first_lines_of_an_unknown_kind_wait_for_more(path: Path) -> None:
    append(path, b'{"kind":"smoke"}\n')
    file = FollowedFile(path)
    assert file.poll() == follow.FileUpdate()
    assert "JSON but not a session" in file.waiting
    append(path, b'{"kind":"smoke"}\n' * 40)
    with pytest.raises(SessionError, match="JSON but not a session"):
        file.poll()


def test_chat_messages_are_followed_line_by_line_under_one_id(path: Path) -> None:
    told = [{"role": "system", "content": '<memory key="a">Mira is in Lisbon.</memory>'}]
    told += [{"role": role, "content": f"{role} {n}"} for n in range(3) for role in ("user", "assistant")]
    file = FollowedFile(path)
    ids = set()
    for message in told:
        append(path, json.dumps(message).encode() + b"\n")
        session = file.poll().session
        assert session is not None
        if len(session.nodes) > 1:  # the id depends on the first message of the conversation
            ids.add(session.header.id)
        assert session.memory_keys() == ("a",)
    assert len(ids) == 1
    assert count(file) is None


def test_a_rule_that_does_not_exist_is_refused_at_once(path: Path) -> None:
    with pytest.raises(UsageError):
        FollowedFile(path, rules=["smoke"])


def test_the_newest_file_of_a_folder_is_followed_and_kept(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path, newest=True)
    assert count(file) is None
    assert file.waiting == f"waiting for a recording in {tmp_path}"
    for number, name in enumerate(("old.jsonl", "new.jsonl", "newer.txt", ".newest.jsonl")):
        (tmp_path / name).write_bytes(b"".join(LINES[: 2 + number]))
        os.utime(tmp_path / name, (number, number))
    assert newest_file(tmp_path) == tmp_path / "new.jsonl"
    assert count(file) == 2
    (tmp_path / "better.jsonl").write_bytes(SMALL_SESSION)
    update = file.poll()
    assert update.notices == (
        f"{tmp_path / 'new.jsonl'} has no response; following {tmp_path / 'better.jsonl'}, which is newer",
    )
    assert update.session is not None
    assert len(update.session.nodes) == len(LINES) - 1
    with (tmp_path / "better.jsonl").open("rb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        (tmp_path / "newest.jsonl").write_bytes(SMALL_SESSION)
        assert file.poll() == follow.FileUpdate(
            notices=(f"{tmp_path / 'newest.jsonl'} is newer: start memscope --follow again to follow it",)
        )
        assert file.poll() == follow.FileUpdate(), "it stays with a file that is being written, and says so once"
        assert file.name == str(tmp_path / "better.jsonl")
    (tmp_path / "zest.jsonl").write_bytes(SMALL_SESSION)
    os.utime(tmp_path / "zest.jsonl", (2**32, 2**32))
    assert file.poll().notices == (
        f"{tmp_path / 'better.jsonl'} is complete; following {tmp_path / 'zest.jsonl'}, which is newer",
    )
    assert newest_file(tmp_path / "nowhere") is None


def test_a_document_over_several_lines_is_refused_as_one(path: Path) -> None:
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}, indent=2))
    with pytest.raises(SessionError, match="may begin a document, which cannot be followed; open it without --follow"):
        FollowedFile(path).poll()


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_format_is_followed_line_by_line_or_refused_in_one_line(path: Path, name: str) -> None:
    file = FollowedFile(path)
    if not format_named(name).appends:
        append(path, FILES[name])
        with pytest.raises(SessionError, match=r"cannot be followed|not JSON"):
            file.poll()
        return
    ids, last = set(), None
    for line in FILES[name].splitlines(keepends=True):
        append(path, line)
        update = file.poll()
        assert update.notices == ()
        last = update.session or last
        if update.session is not None and next(responses(update.session), None):
            ids.add(update.session.header.id)
    assert last == load_session(path)
    assert len(ids) == 1, "the id does not change once there is a response"


def test_there_is_no_conversation_to_pick_in_a_file_that_is_followed(path: Path) -> None:
    append(path, *LINES[:4])
    with pytest.raises(UsageError, match="--pick is for files with several conversations"):
        FollowedFile(path, pick="2").poll()


def test_a_format_that_was_named_is_not_guessed(path: Path) -> None:
    append(path, LINES[0])
    with pytest.raises(UsageError, match="'smoke' is unknown"):
        FollowedFile(path, source_format="smoke").poll()
    file = FollowedFile(path, source_format="chat-lines")
    with pytest.raises(SessionError, match="role"):
        file.poll()
