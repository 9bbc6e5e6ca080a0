"""What is bundled: a model that loads, and a session that tells its story with it."""

from pathlib import Path
from random import Random

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from memscope.config import Config
from memscope.demo import model_folder, session_path
from memscope.demo.build.evaluate import Evaluator
from memscope.demo.build.export import write_tokenizer_settings
from memscope.demo.build.generator import Shape, make_session
from memscope.run.run import Run
from memscope.session.load import load_session
from memscope.session.nodes import Branch, Log, ToolCall, ToolResult
from memscope.store.database import Database


def test_the_model_is_small_and_loads_as_any_other() -> None:
    assert (model_folder() / "model.safetensors").stat().st_size <= 4 * 2**20
    model = AutoModelForCausalLM.from_pretrained(model_folder())
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    assert model.config.model_type == "qwen3"
    assert tokenizer.decode(tokenizer.encode("A port: 7432.")) == "A port: 7432."
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == (
        "<|im_start|>user\nhi<|im_end|>\n"
    )


def test_the_model_recalls_what_later_system_messages_say() -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    system = [{"role": "system", "content": text} for text in ("You are a helpful agent.", "Mira sits in room C217.")]
    assert tokenizer.apply_chat_template(system, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful agent.<|im_end|>\n"
        "<|im_start|>memory\nMira sits in room C217.<|im_end|>\n"
    )


def test_the_bundled_tokenizer_files_are_those_that_the_export_writes(tmp_path: Path) -> None:
    write_tokenizer_settings(tmp_path, max_tokens=8192)
    for written in tmp_path.iterdir():
        assert (model_folder() / written.name).read_text() == written.read_text()


def test_the_model_uses_its_memories_on_held_out_sessions() -> None:
    evaluator = Evaluator(model_folder())
    sessions = [make_session(Random(f"test {n}"), Shape(12, 6)) for n in range(3)]
    assert evaluator.recall(sessions).share() >= 0.9
    assert evaluator.rank(sessions[:1])[0].share() >= 0.9
    assert evaluator.says_it_does_not_know(sessions[:2], everything=True).share() >= 0.9


def test_the_demo_session_has_all_its_parts() -> None:
    session = load_session(session_path())
    answers = [n for n in session.section("conversation") if isinstance(n, Branch) and n.role == "assistant"]
    assert 18 <= len(session.memory_keys()) <= 24
    assert len(answers) == 24
    assert all(answer.timestamp for answer in answers)
    assert any(isinstance(leaf, ToolCall) for answer in answers for leaf in answer.children)
    assert any(isinstance(node, ToolResult) for node in session.nodes)
    assert any(isinstance(node, Log) for node in session.nodes)


@pytest.mark.anyio
async def test_the_demo_session_has_the_intended_divergences(config: Config, tmp_path: Path) -> None:
    run = Run(load_session(session_path()), config, Database(tmp_path / "db"))
    try:
        await run.matrix()
    finally:
        await run.close()
    grid = run.grids["necessity"]
    rows = {row.key: index for index, row in enumerate(grid.rows)}
    answers = {column.text: column.index for column in grid.columns}

    def cell(key: str, answer: str) -> float:
        return grid.values[rows[key]][answers[answer]]

    assert cell("mira/room", "Mira sits in room C217. Mira is allergic to walnuts.") > 5
    assert cell("mira/allergy", "Mira sits in room C217. Mira is allergic to walnuts.") > 5
    assert cell("search-cache/old-note", "The search cache uses port 8250.") < -1, "this memory misleads"
    assert grid.maximum(rows["lantern/version"]) < 1, "this memory is never used"
    for redundant in ("orchid/date", "orchid/deadline"):
        assert abs(cell(redundant, "The deadline for orchid is March 14.")) < 1, "either of the two is enough"
    assert cell("geography/france", "The capital of France is Paris.") < 1, "the model knows that by heart"
