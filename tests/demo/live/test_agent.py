"""The demo's agent, with the bundled model behind a real server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from memscope.demo.live import agent as module
from memscope.demo.live.agent import Agent, main
from memscope.demo.live.notebook import Note
from tests.conftest import ScorerAddress


@pytest.fixture
def client(scorer: ScorerAddress) -> Iterator[httpx.Client]:
    key = {"Authorization": f"Bearer {scorer.token}"}
    with httpx.Client(base_url=scorer.url, headers=key, timeout=60) as client:
        yield client


def test_a_memory_is_marked_and_the_best_match_stands_next_to_the_question(scorer: ScorerAddress) -> None:
    sent = []

    def remember(request: httpx.Request) -> None:
        sent.append(request)

    with httpx.Client(
        base_url=scorer.url, headers={"Authorization": f"Bearer {scorer.token}"}, event_hooks={"request": [remember]}
    ) as client:
        Agent(client, "tiny", lambda *_: None).answer("Which port does the staging database use?")
    messages = httpx.Response(200, content=sent[0].content).json()["messages"]
    assert "memory" not in messages[0]
    assert messages[-2]["memory"] == {"key": "staging-database/port"}
    assert messages[-1] == {"role": "user", "content": "Which port does the staging database use?"}


def test_a_long_conversation_is_shortened(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TURNS", 4)
    agent = Agent(client, "tiny", lambda *_: None)
    turns = []
    for _ in range(8):
        agent.answer("Thanks!")
        turns.append(sum(message["role"] == "user" for message in agent.conversation()))
    assert turns == [1, 2, 3, 4, 3, 4, 3, 4]


def test_a_server_that_is_away_ends_the_agent_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["--pace", "0"]) == 1
    assert capsys.readouterr().err.startswith("agent: http://127.0.0.1:9/v1: ")


def test_notes_are_written_between_the_turns(client: httpx.Client) -> None:
    agent = Agent(client, "tiny", lambda *_: None)
    agent.take(Note("mira/room", "Mira sits in room D340."))
    assert agent.notebook.search("Where does Mira sit?", 1) == [Note("mira/room", "Mira sits in room D340.")]
