"""Where coding agents keep their transcripts, and what is said of each."""

from __future__ import annotations

import json
import os
from pathlib import Path

from memscope.session.follow import FollowedFile
from memscope.session.load import load_session
from memscope.session.transcripts import newest_transcripts, transcript_folder
from tests.session.formats.claude_files import Transcript, small_transcript
from tests.session.formats.codex_files import small_rollout


def put(path: Path, data: bytes, modified: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified, modified))
    return path


def test_the_newest_transcripts_come_first_with_title_project_time_and_size(tmp_path: Path) -> None:
    environ = {"CLAUDE_CONFIG_DIR": str(tmp_path)}
    old = put(tmp_path / "projects" / "-shop" / "a.jsonl", small_transcript().data, 1_000)
    other = Transcript(cwd="/home/mira/other")
    other.user("Which room?")
    new = put(tmp_path / "projects" / "-other" / "b.jsonl", other.data, 2_000)
    put(tmp_path / "projects" / "-other" / "empty.jsonl", b"", 3_000)
    put(tmp_path / "projects" / "-other" / "memory" / "deeper.jsonl", b"{}\n", 3_000)
    found = newest_transcripts("claude-code", 10, environ)
    assert [(one.path, one.title, one.project) for one in found] == [
        (new, "Which room?", "/home/mira/other"),
        (old, "The staging port", "/home/mira/shop"),
    ]
    assert (found[1].modified, found[1].size) == (1_000, len(small_transcript().data))
    assert [one.path for one in newest_transcripts("claude-code", 1, environ)] == [new]


def test_rollouts_are_found_in_folders_by_day(tmp_path: Path) -> None:
    path = put(tmp_path / "sessions" / "2026" / "11" / "20" / "rollout-x.jsonl", small_rollout().data, 1_000)
    put(path.parent / "notes.jsonl", b"{}\n", 1_000)
    (found,) = newest_transcripts("codex", 10, {"CODEX_HOME": str(tmp_path)})
    assert (found.path, found.title, found.project) == (path, "Which port?", "/home/mira/shop")


def test_a_title_at_the_end_of_a_big_file_is_found(tmp_path: Path) -> None:
    made = Transcript()
    made.user("x" * 600_000)
    made.user("Which room?")
    made.plain(type="custom-title", customTitle="Rooms")
    path = put(tmp_path / "projects" / "p" / "a.jsonl", made.data, 1_000)
    (found,) = newest_transcripts("claude-code", 10, {"CLAUDE_CONFIG_DIR": str(tmp_path)})
    assert (found.path, found.title) == (path, "Rooms")


def test_what_is_no_transcript_is_listed_by_its_file_name(tmp_path: Path) -> None:
    put(tmp_path / "projects" / "p" / "broken.jsonl", b"\xff\xfe no JSON\n[]\n", 1_000)
    (found,) = newest_transcripts("claude-code", 10, {"CLAUDE_CONFIG_DIR": str(tmp_path)})
    assert (found.title, found.project) == ("broken", "")


def test_an_agent_that_was_never_here_has_none(tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path / "nowhere")}
    assert newest_transcripts("codex", 10, environ) == []
    assert transcript_folder("codex", environ) == tmp_path / "nowhere" / "sessions"
    assert transcript_folder("claude-code", {}) == Path.home() / ".claude" / "projects"


def test_a_transcript_is_followed_while_the_agent_writes_it(tmp_path: Path) -> None:
    made = small_transcript()
    path = put(tmp_path / "a.jsonl", made.data, 1_000)
    followed = FollowedFile(path, source_format="claude-code")
    before = followed.poll().session
    made.user("Which room?")
    made.assistant("C217.")
    with path.open("ab") as file:
        file.write("".join(json.dumps(row) + "\n" for row in made.rows[-2:]).encode())
    after = followed.poll().session
    assert before is not None
    assert after is not None
    assert after.calls[:2] == before.calls
    assert after.nodes[: len(before.nodes)] == before.nodes
    assert len(after.calls) == 3
    assert after == load_session(path)
