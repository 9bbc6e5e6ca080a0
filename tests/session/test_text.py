from memscope.session.nodes import Content, Log, Memory, Thinking, ToolCall, ToolResult
from memscope.session.text import leaf_text


def test_plain_leaves_are_their_text() -> None:
    assert [leaf_text(leaf) for leaf in (Content(text="a"), Memory(key="k", text="b"), ToolResult(text="c"))] == [
        "a",
        "b",
        "c",
    ]


def test_thinking_and_calls_are_inside_their_markers() -> None:
    assert leaf_text(Thinking(text="hm")) == "<think>\nhm\n</think>\n"
    assert leaf_text(ToolCall(name="sh", arguments={"cmd": "é"})) == (
        '<tool_call>\n{"name":"sh","arguments":{"cmd":"é"}}\n</tool_call>\n'
    )


def test_a_log_is_never_read() -> None:
    assert leaf_text(Log(text="secret")) == ""
