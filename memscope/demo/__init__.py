"""The bundled model, its session, its generator and its trainer.

This module only locates the files; importing it is cheap.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["model_folder", "session_path"]

_HERE = Path(__file__).parent


def model_folder() -> Path:
    """Return the folder of the bundled model, as `AutoModelForCausalLM` loads it."""
    return _HERE / "model"


def session_path() -> Path:
    """Return the bundled demo session, a native session file."""
    return _HERE / "session.jsonl"
