"""Formats are found by content, and every one can be read in pieces."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import SessionError, UsageError
from memscope.session.detectors import Detector
from memscope.session.formats.base import FileHead
from memscope.session.formats.registry import all_formats, choose_format, format_named, format_of
from tests.conftest import SMALL_SESSION
from tests.session.formats.claude_files import small_transcript
from tests.session.formats.codex_files import small_rollout
from tests.session.formats.examples import EXAMPLES, example, format_name, read
from tests.session.recordings import RECORDING
from tests.session.strategies import QUICK

FILES = {
    "native": SMALL_SESSION,
    "recording": RECORDING.encode(),
    "claude-code": small_transcript().data,
    "codex": small_rollout().data,
    "chat-lines": b'{"role":"user","content":"Hi"}\n{"role":"assistant","content":"Hello"}\n',
    "chat": b'{"messages": [\n{"role":"user","content":"Hi"},\n{"role":"assistant","content":"Hello"}]}\n',
}
FILES |= {format_name(name): example(name) for name in reversed(EXAMPLES)}
GENERAL = ("chat-lines", "chat")
"""The formats that are tried last, because their shape is part of others."""


def test_there_is_an_example_of_every_format() -> None:
    assert {one.name for one in all_formats()} == set(FILES)
    assert tuple(one.name for one in all_formats())[-2:] == GENERAL


@pytest.mark.parametrize("name", [*FILES, *EXAMPLES])
def test_a_file_is_recognised_by_its_own_format_only(name: str) -> None:
    data = FILES[name] if name in FILES else example(name)
    head = FileHead(data)
    recognised = [one.name for one in all_formats() if one.recognises(head)]
    assert [one for one in recognised if one not in GENERAL] == ([] if name in GENERAL else [format_name(name)])
    assert format_of(data, "a file").name == format_name(name)


@pytest.mark.parametrize("name", FILES)
def test_two_files_have_different_session_ids_unless_the_file_names_its_own(name: str) -> None:
    found = format_of(FILES[name], "a file")
    ids = {found.read(FILES[name], path, Detector).header.id for path in ("one", "other")}
    assert len(ids) == (1 if name in ("native", "recording") else 2)


OWN_IDS = ("native", "recording")
"""The formats whose header holds the session's id."""


@pytest.mark.parametrize("name", [*EXAMPLES, *(name for name in FILES if name not in OWN_IDS)])
def test_copies_of_a_file_are_different_sessions(name: str, tmp_path: Path) -> None:
    data = FILES[name] if name in FILES else example(name)
    one, other = (read(data, str(tmp_path / folder / "session")) for folder in ("one", "other"))
    assert one.header.id != other.header.id, "a response approved in one would count in the other"
    assert read(data, f"{tmp_path}/other/../one/session").header.id == one.header.id


@pytest.mark.parametrize("name", [one.name for one in all_formats() if one.appends])
def test_the_id_stays_when_a_file_grows(name: str) -> None:
    lines = FILES[name].splitlines(keepends=True)
    found = format_of(FILES[name], "file")
    ids = [found.read(b"".join(lines[:length]), "file", Detector).header.id for length in (3, len(lines))]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("name", FILES)
def test_a_last_newline_makes_no_difference(name: str) -> None:
    found = format_of(FILES[name], "file")
    nodes = [found.read(data, "file", Detector).nodes for data in (FILES[name], FILES[name].rstrip())]
    assert nodes[0] == nodes[1]


@QUICK
@given(st.sampled_from(sorted(FILES)), st.lists(st.integers(0, 2000), max_size=6))
def test_a_file_read_in_pieces_is_the_file(name: str, cuts: list[int]) -> None:
    data = FILES[name]
    found = format_of(data, "file")
    reader = found.reader("file", Detector)
    for start, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        reader.feed(data[start:end])
    assert reader.session() == found.read(data, "file", Detector)


@pytest.mark.parametrize("name", [one.name for one in all_formats() if one.appends])
def test_a_format_that_appends_gives_the_session_of_its_complete_lines(name: str) -> None:
    *before, _ = FILES[name].splitlines(keepends=True)
    reader = format_of(FILES[name], "file").reader("file", Detector)
    reader.feed(FILES[name][:-3])
    assert len(reader.session().nodes) == len(format_of(FILES[name], "f").read(b"".join(before), "f", Detector).nodes)
    reader.feed(FILES[name][-3:])
    assert reader.session() == format_of(FILES[name], "file").read(FILES[name], "file", Detector)


@pytest.mark.parametrize("name", FILES)
def test_a_format_can_be_named(name: str) -> None:
    assert choose_format(b"[]", "file", name) is format_named(name)


def test_an_unknown_format_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        format_named("claude")
    assert all(name in str(caught.value) for name in ("'claude'", *FILES))


def test_a_project_is_refused_where_no_file_is_missing_and_where_it_is_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not for the format native"):
        choose_format(FILES["native"], "file", project=tmp_path)
    with pytest.raises(UsageError, match=": not a folder"):
        choose_format(FILES["claude-code"], "file", project=tmp_path / "nowhere")


def test_a_conversation_is_picked_where_a_file_may_hold_several() -> None:
    assert choose_format(FILES["inspect"], "file", pick="port").read(FILES["inspect"], "file", Detector).calls
    with pytest.raises(UsageError, match="not for the format native"):
        choose_format(FILES["native"], "file", pick="port")


def test_unrecognised_files_are_reported_with_what_each_format_expects() -> None:
    with pytest.raises(SessionError) as caught:
        format_of(b'{"a": 1}\n', "file")
    assert all(one.expected in str(caught.value) for one in all_formats())
