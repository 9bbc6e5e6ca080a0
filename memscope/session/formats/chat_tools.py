"""Tool definitions in the form that chat templates expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["chat_tool"]


def chat_tool(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool definition as chat templates expect it.

    Args:
        definition: The definition in this form, or a function's `name`, `description` and `parameters` alone.
    """
    return definition if "type" in definition else {"type": "function", "function": definition}
