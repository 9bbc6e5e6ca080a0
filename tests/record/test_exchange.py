from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from memscope.record.exchange import CallApi, Exchange, api_for
from memscope.record.marks import without_marks_encoded
from memscope.record.writer import RecordingWriter
from memscope.session.load import load_session
from memscope.session.nodes import Call, Session
from memscope.session.text import responses

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Which port?"}]}
ANSWER = {"model": "m-1", "choices": [{"index": 0, "message": {"content": "7432."}, "finish_reason": "stop"}]}


def chat_api() -> CallApi:
    api = api_for("POST", "/v1/chat/completions")
    assert api
    return api


class Recorded:
    """A recording in a folder, and the problems that its writer told of."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.jsonl"
        self.problems: list[str] = []
        self.writer = RecordingWriter(self.path, on_problem=self.problems.append)

    def exchange(
        self,
        request: Any = CHAT,
        reply: Any = ANSWER,
        *,
        path: str = "/v1/chat/completions",
        pieces: int = 1,
        status: int | None = 200,
        complete: bool = True,
        encoding: str = "",
    ) -> None:
        """Record a call; bodies that are not bytes are JSON."""
        api = api_for("POST", path)
        assert api
        exchange = Exchange(api, request if isinstance(request, bytes) else json.dumps(request).encode(), self.writer)
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        for start in range(0, len(body), max(len(body) // pieces, 1)):
            exchange.chunk(body[start : start + max(len(body) // pieces, 1)])
        exchange.finish(status, complete=complete, content_encoding=encoding)

    def session(self) -> Session:
        return load_session(self.path)

    def call(self) -> Call:
        (call,) = self.session().calls
        return call

    def texts(self) -> list[str]:
        return [found.text for found in responses(self.session())]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "openai-chat"),
        ("/chat/completions?api-version=1", "openai-chat"),
        ("/openai/deployments/x/chat/completions/", "openai-chat"),
        ("/v1/completions", "openai-completions"),
        ("/v1/responses", "openai-responses"),
        ("/v1/messages?beta=true", "anthropic-messages"),
    ],
)
def test_the_path_tells_the_api(path: str, name: str) -> None:
    api = api_for("post", path)
    assert api
    assert api.name == name
    assert api_for("GET", path) is None


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/messages/count_tokens", "/v1/threads/t1/messages", "/v1/responses/r1/cancel", "/"]
)
def test_other_paths_are_no_calls(path: str) -> None:
    assert api_for("POST", path) is None


def test_a_call_is_recorded_with_its_prompt_and_response(recorded: Recorded) -> None:
    recorded.exchange(reply={**ANSWER, "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    call = recorded.call()
    assert (call.api, call.model, call.status, call.prompt, call.response) == (
        "openai-chat",
        "m-1",
        "complete",
        (0,),
        1,
    )
    assert call.extra == {"usage": {"input": 9, "output": 4}, "stop": "stop"}
    assert call.timestamp
    assert recorded.texts() == ["7432."]
    assert recorded.problems == []


def test_messages_that_are_sent_again_are_written_once(recorded: Recorded) -> None:
    again = [*CHAT["messages"], {"role": "assistant", "content": "7432."}, {"role": "user", "content": "Sure?"}]
    recorded.exchange()
    recorded.exchange({"messages": again}, {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]})
    first, second = recorded.session().calls
    assert second.prompt[:2] == (first.prompt[0], first.response)
    assert recorded.path.read_bytes().count(b"Which port?") == 1


def test_a_response_in_the_words_of_an_earlier_one_is_a_response_of_its_own(recorded: Recorded) -> None:
    again = [*CHAT["messages"], {"role": "assistant", "content": "7432."}, {"role": "user", "content": "Sure?"}]
    recorded.exchange()
    recorded.exchange({"messages": again})
    recorded.exchange({"messages": again})
    assert recorded.texts() == ["7432."] * 3


def test_marks_are_recorded(recorded: Recorded) -> None:
    marked = {"type": "text", "text": "Port 7432.", "memory": {"key": "db/port"}}
    recorded.exchange({"messages": [{"role": "system", "content": [marked]}, *CHAT["messages"]]})
    assert recorded.session().memory_keys() == ("db/port",)


@pytest.mark.parametrize("pieces", [1, 3, 50, 1000])
def test_a_stream_is_the_same_wherever_it_is_split(recorded: Recorded, pieces: int) -> None:
    deltas = [{"content": "Port "}, {"content": "é 7432."}]
    events = [{"model": "m-1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events) + "data: [DONE]\n\n"
    recorded.exchange(reply=body.encode(), pieces=pieces)
    assert recorded.texts() == ["Port é 7432."]
    assert recorded.call().status == "complete"


def test_a_stream_that_ends_early_is_cut_and_one_without_content_failed(recorded: Recorded) -> None:
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"Po"}}]}\n\n'
    recorded.exchange(reply=begun, complete=False)
    recorded.exchange(reply=begun + b'data: {"choices":[{"ind', complete=False)
    recorded.exchange(reply=b": ping\n\n", complete=False)
    assert [call.status for call in recorded.session().calls] == ["cut", "cut", "failed"]
    assert recorded.texts() == ["Po", "Po"]
    assert recorded.problems == []


def test_an_event_that_is_not_json_ends_the_response_and_is_told(recorded: Recorded) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    recorded.exchange(reply=event + b"data: {oops\n\n" + event)
    assert (recorded.call().status, recorded.texts()) == ("cut", ["a"])
    assert recorded.problems == ["a streamed response holds an event that is not JSON: it is recorded up to there"]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("gzip", lambda body: gzip.compress(body) + bytes(9)),
        ("identity", bytes),
    ],
    ids=range(7),
)
def test_encoded_bodies_are_decoded(recorded: Recorded, encoding: str, encode: Any) -> None:
    recorded.exchange(reply=encode(json.dumps(ANSWER).encode()), encoding=encoding)
    assert recorded.texts() == ["7432."]


def test_a_compressed_stream_that_ends_early_is_recorded_as_far_as_it_came(recorded: Recorded) -> None:
    packer = zlib.compressobj(wbits=31)
    begun = packer.compress(b'data: {"choices":[{"index":0,"delta":{"content":"Po"}}]}\n\n')
    recorded.exchange(reply=begun + packer.flush(zlib.Z_SYNC_FLUSH), encoding="gzip", complete=False)
    assert (recorded.call().status, recorded.texts()) == ("cut", ["Po"])


@pytest.mark.parametrize(
    ("reply", "encoding", "reason"),
    [
        (b"\x1b\x02", "br", "content encoding br"),
        (b"not gzip", "gzip", "damaged gzip"),
        (b"<html>Bad gateway</html>", "", "not a JSON object"),
        (b"", "", "empty"),
        (b"[]", "", "not a JSON object"),
    ],
)
def test_an_unreadable_reply_fails_the_call_in_the_recording_and_is_told_once(
    recorded: Recorded, reply: bytes, encoding: str, reason: str
) -> None:
    for _ in range(2):
        recorded.exchange(reply=reply, encoding=encoding)
    assert [call.status for call in recorded.session().calls] == ["failed", "failed"]
    assert recorded.problems == [f"a response could not be read ({reason}): its call is recorded as failed"]


@pytest.mark.parametrize("wbits", [31, 15, -15])
def test_a_reply_that_would_unpack_to_gigabytes_is_not_unpacked(recorded: Recorded, wbits: int) -> None:
    packer = zlib.compressobj(1, wbits=wbits)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(130))
    recorded.exchange(reply=packed + packer.flush(), encoding="gzip" if wbits == 31 else "deflate")
    assert recorded.problems == ["a response could not be read (longer than 128 MiB): its call is recorded as failed"]


@pytest.mark.parametrize("status", [307, 400, 401, 429, 500, 529, None])
def test_a_refused_call_has_no_response_and_nothing_of_what_the_service_said(
    recorded: Recorded, status: int | None
) -> None:
    recorded.exchange(reply={"error": {"message": "Incorrect API key provided: sk-secret"}}, status=status)
    call = recorded.call()
    assert (call.status, call.response) == ("failed", None)
    assert call.extra == ({} if status is None else {"http_status": status})
    assert b"secret" not in recorded.path.read_bytes()
    assert recorded.problems == []


def test_an_unreadable_request_is_told_unless_it_was_refused(recorded: Recorded) -> None:
    recorded.exchange(request=b"{oops", status=400)
    assert recorded.problems == []
    recorded.exchange(request=b"{oops")
    recorded.exchange(request={"messages": [{"content": "a"}]})
    no_role = "field 'messages[0].role': expected a non-empty string, got nothing"
    assert recorded.problems == [
        "the request of a call could not be read (not a JSON object): it is not in the recording",
        f"the request of a call could not be read (the request: {no_role}): it is not in the recording",
    ]
    assert recorded.session().calls == ()


def test_bytes_that_are_not_text_are_replaced(recorded: Recorded) -> None:
    recorded.exchange(reply=json.dumps(ANSWER).replace("7432", "\\ud83d").encode())
    recorded.exchange(reply=json.dumps(ANSWER).encode().replace(b"7432", b"\xff"))
    assert recorded.texts() == ["\ufffd.", "\ufffd."]


def test_halves_of_a_surrogate_pair_in_two_pieces_of_a_stream_are_one_character(recorded: Recorded) -> None:
    pieces = [{"choices": [{"index": 0, "delta": {"content": half}}]} for half in ("Hi \ud83d", "\ude00.")]
    recorded.exchange(reply="".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces).encode())
    assert recorded.texts() == ["Hi \U0001f600."]


def test_of_several_responses_the_first_one_is_recorded_and_this_is_told(recorded: Recorded) -> None:
    second = {"index": 1, "message": {"content": "no"}, "finish_reason": "stop"}
    recorded.exchange({**CHAT, "n": 2}, {"choices": [second, *ANSWER["choices"]]})
    assert recorded.texts() == ["7432."]
    assert recorded.session().source.notes == ("some calls asked for several responses: the first one is recorded",)


def test_a_stored_conversation_is_continued_from_what_was_seen(recorded: Recorded) -> None:
    def answer(name: str, text: str) -> dict[str, Any]:
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return {"id": name, "status": "completed", "output": [said]}

    path = "/v1/responses"
    recorded.exchange({"input": "Hi", "instructions": "Be brief."}, answer("r1", "Hello."), path=path)
    asked = {"input": "Which port?", "instructions": "Be exact.", "previous_response_id": "r1"}
    recorded.exchange(asked, answer("r2", "7432."), path=path)
    recorded.writer.close()
    recorded.writer = RecordingWriter(recorded.path)
    recorded.exchange({"input": "Sure?", "previous_response_id": "r2"}, answer("r3", "Yes."), path=path)
    session = recorded.session()
    prompts = [[leaf.text for place in call.prompt for leaf in session.nodes[place].children] for call in session.calls]  # type: ignore[union-attr]
    assert prompts[1] == ["Be exact.", "Hi", "Hello.", "Which port?"]
    assert prompts[2] == ["Hi", "Hello.", "Which port?", "7432.", "Sure?"]
    assert session.source.context == "whole context"


def test_a_stored_conversation_that_was_not_seen_is_incomplete_and_so_is_what_continues_it(recorded: Recorded) -> None:
    for name, previous in (("r2", "r1"), ("r3", "r2")):
        answer = {"id": name, "status": "completed", "output": []}
        recorded.exchange({"input": "Hi", "previous_response_id": previous}, answer, path="/v1/responses")
    session = recorded.session()
    assert [call.extra["incomplete"] for call in session.calls] == [True, True]
    assert session.source.context == "reconstructed"


def test_marks_are_removed_from_compressed_requests_too() -> None:
    marked = b'{"messages":[{"role":"user","content":"a","memory":{"key":"k"}}]}'
    cut = b'{"messages":[{"role":"user","content":"a"}]}'
    assert without_marks_encoded(marked, "") == cut
    assert gzip.decompress(without_marks_encoded(gzip.compress(marked), "gzip")) == cut
    for body, encoding in ((gzip.compress(cut), "gzip"), (marked, "br"), (marked, "gzip")):
        assert without_marks_encoded(body, encoding) is body
