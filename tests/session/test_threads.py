"""Which calls belong to one conversation, and which are side calls."""

from __future__ import annotations

from memscope.session.presence import memory_presence, version_before
from memscope.session.threads import response_threads
from tests.call_sessions import Exchange, call_session, message, retrieving_agent, text

TITLE = message("system", "Make a title.")


def numbers(exchanges: list[Exchange]) -> list[int]:
    return [thread.number for thread in response_threads(call_session(exchanges))]


def test_retrieval_that_changes_the_system_message_stays_one_thread() -> None:
    assert numbers(retrieving_agent(5, memories=4)) == [0] * 5


def test_every_system_message_at_the_head_of_a_prompt_is_of_the_system_section() -> None:
    session = call_session(retrieving_agent(3, memories=2))
    assert len(session.section("system")) == 3
    assert {presence.section for presence in memory_presence(session).values()} == {"system"}


def test_a_side_call_is_a_thread_of_its_own_and_hidden_while_another_has_most_responses() -> None:
    agent = retrieving_agent(3, memories=2)
    title = Exchange([TITLE, message("user", "Title of: …")], message("assistant", "Ports"))
    threads = response_threads(call_session([agent[0], title, *agent[1:]]))
    assert [thread.number for thread in threads] == [0, 1, 0, 0]
    assert [thread.side for thread in threads] == [False, True, False, False]
    assert not any(thread.side for thread in response_threads(call_session([agent[0], title])))


def test_a_conversation_that_was_summarised_is_another_thread_but_no_side_call() -> None:
    agent = retrieving_agent(3, memories=2)
    summary = Exchange([agent[-1].prompt[0], message("user", "Summary: …")], message("assistant", "Go on."))
    threads = response_threads(call_session([*agent, summary]))
    assert [thread.number for thread in threads] == [0, 0, 0, 1]
    assert not any(thread.side for thread in threads)


def test_reasoning_that_is_not_sent_back_does_not_end_the_thread() -> None:
    asked, more = message("user", "One?"), message("user", "Two?")
    thought = message("assistant", {"type": "thinking", "text": "Hm."}, "Yes.")
    again = [asked, message("assistant", "Yes."), more]
    assert numbers([Exchange([asked], thought), Exchange(again, message("assistant", "No."))]) == [0, 0]


def test_a_memory_is_present_where_its_calls_prompt_has_it_with_the_version_it_had() -> None:
    old, new = (message("system", text(f"Port {port}.", "port")) for port in (7432, 8111))
    asked, answer = message("user", "Which?"), message("assistant", "That one.")
    session = call_session([Exchange([old, asked], answer), Exchange([asked], answer), Exchange([new, asked], answer)])
    port = memory_presence(session)["port"]
    assert (port.responses, port.versions, port.appearances) == ((0, 2), ("Port 7432.", "Port 8111."), 1)
    assert [version_before(session, "port", n) for n in range(4)] == ["Port 7432.", "", "Port 8111.", ""]
