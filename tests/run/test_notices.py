"""What a run says about its session and its model, with the real model."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from memscope.config import Config
from memscope.run.notices import Notices
from memscope.scoring.events import BaselineDone, Event, Notice, SessionNotes
from memscope.session.nodes import Branch, Content, Node, Session
from memscope.store.database import Database
from memscope.store.settings import Settings
from tests.run.test_run import opened

pytestmark = pytest.mark.anyio

FOREIGN = "Ὁ βίος βραχύς, ἡ δὲ τέχνη μακρή, ὁ δὲ καιρὸς ὀξύς, ἡ δὲ πεῖρα σφαλερή, ἡ δὲ κρίσις χαλεπή."


def with_foreign_answers(session: Session) -> Session:
    def foreign(node: Node) -> Node:
        if isinstance(node, Branch) and node.role == "assistant":
            return replace(node, children=(Content(text=FOREIGN),))
        return node

    return replace(session, nodes=tuple(map(foreign, session.nodes)))


def lines(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


async def test_a_model_that_did_not_write_the_answers_is_questioned_after_the_baseline(
    small_session: Session, config: Config
) -> None:
    async with opened(with_foreign_answers(small_session), config) as (run, events):
        await run.matrix()
        report = run.report("necessity")
        kinds = [type(event) for event in events]
        (question,) = [place for place, event in enumerate(events) if isinstance(event, Notice)]
        assert kinds.index(BaselineDone) == question - 1
        assert run.notices.model_doubted
    assert lines(events)[0].startswith(
        "this model hardly expects these answers: was it the one that wrote them? 3 of 3"
    )
    assert report["warnings"] == lines(events)
    assert all(response["mean_logprob"] < -4 for response in report["responses"])


async def test_a_model_that_wrote_the_answers_is_not_questioned(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (run, events):
        await run.matrix()
        report = run.report("necessity")
        assert not run.notices.model_doubted
    assert lines(events) == report["warnings"] == []
    assert [response["model"] for response in report["responses"]] == [None] * 3
    first = report["responses"][0]
    assert first["mean_logprob"] == first["logprob"] / first["tokens"]


async def test_a_scorer_other_than_the_model_that_answered_is_named(small_session: Session, config: Config) -> None:
    session = replace(small_session, header=replace(small_session.header, model="claude-x"))
    async with opened(session, config) as (run, events):
        await run.open()
        report = run.report("necessity")
    assert lines(events) == report["warnings"] == ["answered by claude-x, scored by tiny"]
    assert report["responses"][0]["model"] == "claude-x"


async def test_notes_on_the_session_come_once_before_anything_is_scored(small_session: Session, config: Config) -> None:
    noted = replace(small_session, source=replace(small_session.source, notes=("1 image skipped",)))
    more = replace(noted, source=replace(noted.source, notes=("2 images skipped", "reconstructed")))
    async with opened(noted, config) as (run, events):
        await run.open()
        assert isinstance(events[1], SessionNotes)
        await run.replace_session(noted)
        await run.replace_session(more)
    assert [event.text for event in events if isinstance(event, SessionNotes)] == [
        ("1 image skipped",),
        ("2 images skipped", "reconstructed"),
    ]


async def test_a_session_that_is_not_whole_says_so_first(small_session: Session, config: Config) -> None:
    source = replace(small_session.source, context="from disk", notes=("CLAUDE.md read from disk",))
    async with opened(replace(small_session, source=source), config) as (run, events):
        await run.open()
        report = run.report("necessity")
    (notes,) = [event for event in events if isinstance(event, SessionNotes)]
    assert notes.text[0].startswith("from disk: ")
    assert notes.text[1:] == ("CLAUDE.md read from disk",)
    assert report["session"]["context"] == "from disk"


def test_a_line_is_told_once() -> None:
    events: list[Event] = []
    notices = Notices(events.append)
    notices.tell(["a 1", "a 1", "a 2"])
    assert lines(events) == ["a 1", "a 2"]


async def test_notes_that_differ_in_numbers_alone_are_several_unless_told_before(
    small_session: Session,
) -> None:
    events: list[Event] = []
    notices = Notices(events.append)
    for notes in (("line 5: not JSON", "line 9: not JSON"), ("line 5: not JSON", "line 9: not JSON", "1 x skipped")):
        session = replace(small_session, source=replace(small_session.source, notes=notes))
        notices.tell_session(session, Settings(Database(None)))
    assert events == [SessionNotes(("line 5: not JSON", "line 9: not JSON")), SessionNotes(("1 x skipped",))]
