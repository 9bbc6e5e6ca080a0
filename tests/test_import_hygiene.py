"""What each entrance and each room imports: the screen's process never sees torch, and --help pays for nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODEL = {"torch", "transformers", "peft"}
SERVER = {"starlette", "uvicorn", "memscope.server.compute.worker"}
HELP = "from memscope.cli import main\ntry: main([{command!r}, '--help'])\nexcept SystemExit: pass"
COMMANDS = ("", "score", "finetune", "train", "importance", "export", "doctor", "record", "serve", "demo")
ROOM = (
    "import pkgutil, importlib, memscope.{room} as room\n"
    "for module in pkgutil.walk_packages(room.__path__, room.__name__ + '.'): importlib.import_module(module.name)"
)
RENDERING = (
    "from memscope.demo import model_folder, session_path\n"
    "from memscope.session.load import load_session\n"
    "from memscope.prompt.tokenizer import Tokenizer\n"
    "from memscope.prompt.rendering import render\n"
    "render(load_session(session_path()), Tokenizer.load(model_folder()))"
)
RECORDING = (
    "import memscope, os, tempfile\n"
    "with memscope.Recorder(os.path.join(tempfile.mkdtemp(), 'run.jsonl')) as recorder:\n"
    "    recorder.call([{'role': 'user', 'content': [recorder.memory('k', 'a')]}], 'b')\n"
    "    recorder.call('a', {'content': [], 'stop_reason': 'end_turn'}, api='anthropic-messages')"
)


def loaded_after(program: str) -> set[str]:
    """Return the modules that a fresh process has loaded after a program."""
    code = f"{program}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str) -> None:
    program = HELP.format(command=command).replace("'', ", "")
    heavy = {"textual", "httpx", "tokenizers", "platformdirs", "sqlite3", "numpy", "asyncio"}
    assert loaded_after(program) & (MODEL | SERVER | heavy) == set()


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import memscope", MODEL | SERVER | {"textual", "httpx", "msgspec", "sqlite3"}),
        ("import memscope.library", MODEL | SERVER | {"textual", "httpx", "tokenizers"}),
        ("import memscope.commands.score", MODEL | SERVER | {"textual", "httpx", "tokenizers"}),
        ("import memscope.commands.screen", MODEL | SERVER | {"httpx", "tokenizers"}),
        ("import memscope.commands.demo, memscope.demo.live.talking", MODEL | SERVER | {"httpx", "tokenizers"}),
        ("import memscope.commands.record", MODEL | {"textual", "tokenizers", "numpy", "sqlite3"}),
        ("import memscope.ui.app", MODEL | SERVER | {"httpx", "tokenizers"}),
        ("import memscope.terminal.safe", MODEL | SERVER | {"textual", "httpx", "rich", "msgspec"}),
        (RECORDING, MODEL | SERVER | {"textual", "httpx", "msgspec", "numpy", "starlette", "asyncio", "dataclasses"}),
        ("import memscope.demo", MODEL | SERVER | {"msgspec"}),
        ("import memscope.server.arguments", MODEL | SERVER),
        (RENDERING, MODEL | SERVER | {"textual", "httpx"}),
    ],
)
def test_an_entrance_imports_nothing_heavy(program: str, unwanted: set[str]) -> None:
    assert loaded_after(program) & unwanted == set()


@pytest.mark.parametrize(
    "room",
    ["commands", "engines", "prompt", "record", "run", "scoring", "session", "store", "terminal", "training", "ui"],
)
def test_no_module_of_a_room_needs_torch(room: str) -> None:
    assert loaded_after(ROOM.format(room=room)) & {"torch", "peft", "memscope.server.compute.worker"} == set()
