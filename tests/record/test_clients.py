"""The clients that agents use, unchanged, through the proxy; and what the recordings of their calls hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from memscope.session.load import load_session
from memscope.session.nodes import Branch, Content, Memory, Session
from tests.conftest import ScorerAddress
from tests.record.commands import environment, python_agent, recordings, run_record
from tests.record.conftest import StartProxy
from tests.record.harness import RunningProxy, serving
from tests.record.model_server import ANSWER, ModelServer

MEMORY = {"type": "text", "text": "The user is called Mira.", "memory": {"key": "user/name"}}
PORT: list[Any] = [
    {"role": "system", "content": "You are a helpful agent."},
    {"role": "system", "content": "The staging database listens on port 7432.", "memory": {"key": "staging/port"}},
    {"role": "user", "content": "Which port does the staging database use?"},
]


@pytest.fixture
def model_server() -> ModelServer:
    return ModelServer()


@pytest.fixture
def proxy(model_server: ModelServer, start_proxy: StartProxy) -> Iterator[RunningProxy]:
    with serving(model_server.app) as url:
        yield start_proxy(f"{url}/v1")


@pytest.fixture
def client(proxy: RunningProxy) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="hidden", max_retries=0) as client:
        yield client


def recorded(proxy: RunningProxy) -> Session:
    """End a proxy and read its recording."""
    proxy.finish()
    assert proxy.problems == []
    assert "hidden" not in proxy.path.read_text()
    return load_session(proxy.path)


def texts(session: Session, positions: Any) -> list[str]:
    """Return the text of some turns and memories."""
    shown = []
    for node in (session.nodes[position] for position in positions):
        leaves = node.children if isinstance(node, Branch) else (node,)
        shown.append("".join(leaf.text for leaf in leaves if isinstance(leaf, Content | Memory)))
    return shown


def responses(session: Session) -> list[str]:
    """Return the text of each call's response."""
    return [text for call in session.calls if call.response is not None for text in texts(session, [call.response])]


def test_chat_completions_of_a_real_model_are_the_same_with_and_without_the_proxy(
    scorer: ScorerAddress, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(scorer.url)
    answers = []
    for url in (scorer.url, f"{proxy.url}/v1"):
        with openai.OpenAI(base_url=url, api_key=scorer.token, max_retries=0) as client:
            whole = client.chat.completions.create(model="tiny", messages=PORT, temperature=0)
            stream = client.chat.completions.create(model="tiny", messages=PORT, temperature=0, stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
            answers.append((whole.choices[0].message.content, pieces))
    assert answers[0] == answers[1]
    session = recorded(proxy)
    assert responses(session) == [answers[0][0], "".join(answers[0][1])]
    assert session.memory_keys() == ("staging/port",)


@pytest.mark.parametrize("stream", [False, True])
def test_responses_that_continue_a_previous_one_have_all_of_its_context(
    client: openai.OpenAI, proxy: RunningProxy, model_server: ModelServer, stream: bool
) -> None:
    question: Any = [
        {"role": "user", "content": [{**MEMORY, "type": "input_text"}, {"type": "input_text", "text": "Who am I?"}]}
    ]
    first = ask_responses(client, stream, input=question, instructions="Be brief.")
    second = ask_responses(client, stream, input="Are you sure?", previous_response_id=first.id)
    assert first.output_text == second.output_text == ANSWER
    assert "memory" not in str(model_server.seen)
    session = recorded(proxy)
    assert responses(session) == [ANSWER, ANSWER]
    assert texts(session, session.calls[1].prompt)[-3:] == [
        "The user is called Mira.Who am I?",
        ANSWER,
        "Are you sure?",
    ]


def ask_responses(client: openai.OpenAI, stream: bool, **options: Any) -> Any:
    if not stream:
        return client.responses.create(model="m", **options)
    with client.responses.stream(model="m", **options) as events:
        return events.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["What is my name?", [5, 6, 7]])
def test_completions_are_recorded_with_their_ids(
    client: openai.OpenAI, proxy: RunningProxy, stream: bool, prompt: Any
) -> None:
    options: Any = {"model": "m", "prompt": prompt, "extra_body": {"return_token_ids": True}}
    if stream:
        text = "".join(chunk.choices[0].text for chunk in client.completions.create(stream=True, **options))
    else:
        text = client.completions.create(**options).choices[0].text
    assert text == ANSWER
    session = recorded(proxy)
    (call,) = session.calls
    assert call.response is not None
    (asked,) = turn(session, call.prompt[0]).children
    assert isinstance(asked, Content)
    assert asked.token_ids == (tuple(prompt) if isinstance(prompt, list) else None)
    answered = turn(session, call.response).children
    assert any(isinstance(leaf, Content) and leaf.token_ids for leaf in answered)


def turn(session: Session, position: int) -> Branch:
    node = session.nodes[position]
    assert isinstance(node, Branch)
    return node


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_messages_are_recorded_and_unmarked(
    proxy: RunningProxy, model_server: ModelServer, stream: bool
) -> None:
    options: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Who am I?"}]}
    options["system"] = [{"type": "text", "text": "Be brief."}, MEMORY]
    with anthropic.Anthropic(base_url=proxy.url, api_key="hidden", max_retries=0) as client:
        if stream:
            with client.messages.stream(**options) as events:
                text = "".join(events.text_stream)
        else:
            text = "".join(getattr(block, "text", "") for block in client.messages.create(**options).content)
    assert text == ANSWER
    assert "hidden" in str(model_server.headers[0])
    assert model_server.seen[0]["system"][1] == {"type": "text", "text": MEMORY["text"]}
    session = recorded(proxy)
    assert responses(session) == [ANSWER]
    assert session.memory_keys() == ("user/name",)


def test_an_agent_that_is_run_by_memscope_record_needs_no_change(scorer: ScorerAddress, tmp_path: Any) -> None:
    program = (
        f"import openai; reply = openai.OpenAI().chat.completions.create(model='tiny', messages={PORT!r})\n"
        "print(reply.choices[0].message.content)"
    )
    env = environment(OPENAI_BASE_URL=scorer.url, OPENAI_API_KEY=scorer.token)
    done = run_record(tmp_path, *python_agent(program), env=env)
    assert done.returncode == 0
    assert done.stdout.decode().strip() == "The staging database listens on port 7432."
    (path,) = recordings(tmp_path)
    assert done.stderr.decode().splitlines() == [
        f"memscope: recording to {path}",
        f"memscope: recorded 1 call in {path}",
    ]
    assert responses(load_session(path)) == ["The staging database listens on port 7432."]
    assert scorer.token not in path.read_text()
