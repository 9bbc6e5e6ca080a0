"""What each entrance imports: the screen's process never sees torch, and --help pays for nothing."""

import subprocess
import sys

import pytest


def loaded_after(program: str) -> set[str]:
    code = f"{program}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import memscope", {"textual", "httpx", "transformers", "torch", "msgspec", "sqlite3"}),
        (
            "from memscope.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
            {"textual", "httpx", "transformers", "torch", "tokenizers", "platformdirs", "sqlite3"},
        ),
        ("import memscope.commands.score", {"textual", "torch", "transformers", "tokenizers"}),
        ("import memscope.commands.screen", {"torch", "transformers", "tokenizers", "httpx"}),
        ("import memscope.demo", {"torch", "transformers", "msgspec"}),
        ("import memscope.server.arguments", {"torch", "starlette", "uvicorn"}),
    ],
)
def test_an_entrance_imports_nothing_heavy(program: str, unwanted: set[str]) -> None:
    assert not loaded_after(program) & unwanted


def test_rendering_a_session_needs_no_torch() -> None:
    program = (
        "from memscope.demo import model_folder, session_path\n"
        "from memscope.session.load import load_session\n"
        "from memscope.prompt.tokenizer import Tokenizer\n"
        "from memscope.prompt.rendering import render\n"
        "render(load_session(session_path()), Tokenizer.load(model_folder()))"
    )
    assert not loaded_after(program) & {"torch", "transformers"}
