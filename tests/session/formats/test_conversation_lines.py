from __future__ import annotations

import json

import pytest

from memscope.errors import SessionError, UsageError
from memscope.session.detectors import Detector
from memscope.session.formats import selection
from memscope.session.formats.registry import format_named
from tests.session.formats.examples import example, read, turns

NAME = "conversation-lines.jsonl"
CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}


def test_the_first_conversation_with_memories_is_read_and_the_others_are_named() -> None:
    session = read(example(NAME), NAME)
    assert session.memory_keys() == ("mira-likes-tea",)
    assert turns(session)[-1] == ("assistant", ("Content", "Tea."))
    assert session.source.notes == ("this is line 2; choose another of the 3 with --pick: 1, 2, 4",)


def test_a_line_is_picked_by_number_and_has_a_format_of_its_own() -> None:
    session = read(example(NAME), NAME, pick="4")
    assert turns(session)[-1] == ("assistant", ("Content", "Tea, I think."))
    assert (session.source.format, session.source.path) == ("anthropic", NAME)
    with pytest.raises(UsageError, match=": no line '3'; the file has 1, 2, 4"):
        read(example(NAME), NAME, pick="3")


def test_equal_conversations_of_a_file_are_different_sessions() -> None:
    data = f"{json.dumps(CHAT)}\n{json.dumps(CHAT)}\n".encode()
    assert read(data, pick="1").header.id != read(data, pick="2").header.id


def test_only_the_first_conversations_are_searched_for_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_TRIED", 1)
    assert read(example(NAME), NAME).source.notes[0].startswith("this is line 1; ")


def test_a_format_of_one_document_refuses_a_second_line() -> None:
    data = f"{json.dumps(CHAT)}\n{json.dumps(CHAT)}\n".encode()
    with pytest.raises(SessionError, match="file:2: expected one conversation per file, got a second line"):
        format_named("chat").read(data, "file", Detector)
