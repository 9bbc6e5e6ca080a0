"""The screen's process never loads a model's libraries."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "httpx", "starlette", "uvicorn", "peft")


def loaded(statement: str) -> set[str]:
    program = f"{statement}; import sys; print(*(n for n in {(*HEAVY, 'textual')!r} if n in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_screen_imports_nothing_heavy() -> None:
    assert loaded("import memscope.ui.app") == {"textual"}


def test_making_text_safe_needs_no_screen() -> None:
    assert loaded("import memscope.terminal.safe") == set()
