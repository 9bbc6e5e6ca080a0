from __future__ import annotations

import json

from memscope.session.detectors import Detector
from memscope.session.diagnosis import diagnose
from memscope.session.formats.chat import read_chat
from memscope.session.nodes import Session


def test_a_native_session_lists_its_own_keys(small_session: Session) -> None:
    facts = diagnose(small_session)
    assert facts["format"] == "native"
    assert facts["recognised"] == {"native": ["db/port", "mira/room", "retro/time"]}
    assert facts["nodes"] == {"system": 1, "identity": 2, "journal": 0, "conversation": 8}


def test_an_imported_one_says_which_rule_found_which_keys_and_what_was_skipped() -> None:
    messages = [
        {"role": "system", "content": 'User Memories:\n- Likes tea\n\n<memory key="a">b</memory>'},
        {"role": "user", "content": [{"type": "image"}], "memory": {"key": "m"}},
        {"role": "user", "content": "See above", "memory": {"key": "m"}},
    ]
    facts = diagnose(read_chat({"messages": messages, "model": "gpt"}, "chat.json", Detector()))
    assert facts["recognised"] == {"mark": ["m"], "tags": ["a"], "mem0": ["likes-tea"]}
    assert facts["notes"] == ["1 content block of type image skipped: only text is scored"]
    assert (facts["memories"], facts["answered by"], facts["context"]) == (3, "gpt", "whole context")
    json.dumps(facts)
