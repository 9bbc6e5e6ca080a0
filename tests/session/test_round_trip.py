"""Any session survives writing and reading; any bytes give a session or one clear error."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.errors import MemscopeError
from memscope.session.detectors import Detector
from memscope.session.load import load_session
from memscope.session.native import read_native, write_native
from memscope.session.nodes import SECTIONS, Branch, Content, Header, Log, Memory, Node, Session, Thinking, ToolResult

TEXT = st.text(max_size=30)
LEAF = st.one_of(
    *(st.builds(kind, text=TEXT) for kind in (Content, Thinking, ToolResult, Log)),
    st.builds(Memory, key=TEXT.filter(bool), text=TEXT),
)
LEAVES = st.lists(LEAF, max_size=3).map(tuple)
NODE = st.one_of(
    st.builds(Branch, role=TEXT.filter(bool), children=LEAVES, section=st.just("conversation")),
    st.builds(Memory, key=TEXT.filter(bool), text=TEXT, section=st.sampled_from(SECTIONS)),
    st.builds(Content, text=TEXT, extra=st.just({"mood": "x"})),
)


@given(st.lists(NODE, max_size=6))
def test_nodes_survive_a_round_trip(nodes: list[Node]) -> None:
    session = Session(header=Header(id="s", extra={"more": 1}), nodes=tuple(nodes))
    again = read_native(write_native(session), "s.jsonl")
    assert (again.header, again.nodes) == (session.header, session.nodes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_give_a_session_or_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(data)
    try:
        load_session(path)
    except MemscopeError as error:
        assert "\n" not in str(error)


@given(TEXT)
def test_detectors_change_no_character(text: str) -> None:
    shown = f"User Memories:\n- {text}\n<memories>{text}</memories>"
    assert "".join(part for _, part in Detector().split(shown)) == shown
