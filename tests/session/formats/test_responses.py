from __future__ import annotations

import json
from typing import Any

import pytest

from memscope.errors import SessionError
from tests.session.formats.examples import example, read, turns

QUESTION = ("user", ("Content", "Which port does staging use?"), ("Opaque", "input_image"))
CALL = ("assistant", ("Opaque", "reasoning"), ("sh", {"cmd": "ss -l"}))
RESULT = ("tool", ("ToolResult", "LISTEN 0.0.0.0:7432"))
ANSWER = ("assistant", ("Content", "Port 7432."))
KEYS = ("staging-postgres-listens-on-7432", "mira-prefers-short-answers")


def read_value(value: Any) -> Any:
    return read(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("name", "context"), [("responses.request.json", "whole context"), ("responses.items.json", "reconstructed")]
)
def test_a_request_with_its_response_is_a_conversation_and_so_is_a_list_of_items(name: str, context: str) -> None:
    session = read(example(name))
    assert turns(session)[1:] == [QUESTION, CALL, RESULT, ANSWER]
    assert session.memory_keys() == KEYS
    assert (session.source.context, session.calls) == (context, ())


def test_the_response_names_the_model_that_answered_and_the_request_the_tools() -> None:
    session = read(example("responses.request.json"))
    assert session.header.model == "gpt-5-mini-2025-08-07"
    assert [tool["function"]["name"] for tool in session.tools] == ["sh"]
    assert session.source.notes[0] == "the definition of the tool web_search is the service's own and not in the file"


def test_requests_and_responses_are_calls_that_continue_the_ones_they_name() -> None:
    session = read(example("responses.exchanges.json"))
    said = turns(session)
    prompts = [[said[at] for at in call.prompt] for call in session.calls]
    responses = [None if call.response is None else said[call.response] for call in session.calls]
    assert prompts[0][1:] == [QUESTION]
    assert prompts[1][1:] == [QUESTION, CALL, RESULT]
    assert prompts[2][1:] == [QUESTION, CALL, RESULT, ANSWER, ("user", ("Content", "And production?"))]
    assert prompts[3] == [("user", ("Content", "Title this."))]
    assert responses == [CALL, ANSWER, None, ("assistant", ("Content", "Ports"))]
    assert [call.status for call in session.calls] == ["complete", "complete", "failed", "complete"]
    assert session.calls[0].timestamp == "2026-03-02T09:00:01+00:00"
    assert session.calls[0].tools == session.calls[1].tools != ()


def test_instructions_that_do_not_change_are_one_node() -> None:
    session = read(example("responses.exchanges.json"))
    assert [node.section for node in session.nodes].count("system") == 1
    assert {call.prompt[0] for call in session.calls[:3]} == {0}


def test_what_a_request_continues_and_the_file_lacks_is_noted() -> None:
    session = read(example("responses.exchanges.json"))
    assert session.source.context == "reconstructed"
    assert "earlier responses that a request continues are not in the file" in session.source.notes


@pytest.mark.parametrize("name", ["responses.response.json", "responses.list.json"])
def test_responses_without_their_requests_lack_their_input(name: str) -> None:
    session = read(example(name))
    assert session.source.context == "reconstructed"
    assert "response objects do not hold their input: save the requests too" in session.source.notes
    assert turns(session)[-1] == ANSWER


def test_a_request_with_its_output_in_one_object_is_a_conversation() -> None:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}]
    session = read_value({"model": "m", "input": "Hello", "output": output})
    assert turns(session) == [("user", ("Content", "Hello")), ("assistant", ("Content", "Hi."))]
    assert session.header.model == "m"


def test_a_response_that_is_listed_twice_is_two_calls() -> None:
    response = json.loads(example("responses.list.json"))[1]
    session = read_value([response, response])
    assert [call.id for call in session.calls] == ["resp_2", "resp_2/2"]
    assert len({call.response for call in session.calls}) == 2


WRONG: list[tuple[Any, str]] = [
    ({"input": [3], "instructions": ""}, "field 'input[0]': expected an object, got 3"),
    ({"input": [{"type": 3}], "instructions": ""}, "field 'input[0].type': expected the type of an item, got 3"),
    (
        {"input": [{"role": "user", "content": 3}], "instructions": ""},
        "field 'input[0].content': expected a string or a list of blocks, got 3",
    ),
]


@pytest.mark.parametrize(("document", "words"), WRONG)
def test_an_invalid_item_is_reported_with_its_field(document: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        read_value(document)
    assert str(caught.value) == f"file: {words}"
