"""Generated sessions as native files."""

import subprocess
import sys
from random import Random

import pytest

from memscope.demo.build.generator import Shape, make_session
from memscope.demo.build.writing import as_session, main
from memscope.session.formats.native import read_native
from memscope.session.nodes import Branch, Content, Header, Memory, ToolCall, ToolResult


def test_the_command_writes_the_same_valid_session_each_time() -> None:
    command = [sys.executable, "-m", "memscope.demo.build.writing", "--memories", "40", "--turns", "60", "--seed", "7"]
    first, second = (subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2))
    session = read_native(first, "big.jsonl")
    assert first == second
    assert len(session.memory_keys()) >= 40
    assert sum(isinstance(n, Branch) and n.role == "user" for n in session.nodes) == 60
    assert {n.section for n in session.nodes if isinstance(n, Memory)} == {"identity", "conversation"}


def test_each_block_becomes_the_node_that_renders_to_its_text() -> None:
    blocks = make_session(Random(3), Shape(20, 40))
    nodes = as_session(blocks, Header(id="x")).nodes
    assert len(nodes) == len(blocks)
    calls = 0
    for block, node in zip(blocks, nodes, strict=True):
        leaf = node.children[0] if isinstance(node, Branch) else node
        assert isinstance(leaf, Content | Memory | ToolResult | ToolCall)
        if isinstance(leaf, ToolCall):
            calls += 1
            assert block.text.startswith(f'<tool_call>\n{{"name":"{leaf.name}","arguments":{{"why":')
        else:
            assert leaf.text == block.text
    assert calls == sum(block.text.startswith("<tool_call>") for block in blocks) > 0


def test_a_session_without_memories_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--memories", "0"])
    assert "0 is less than 1" in capsys.readouterr().err
