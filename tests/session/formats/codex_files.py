"""Codex rollouts for tests, row by row as the agent writes them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Rollout", "small_rollout"]

SUMMARY = "v1\n## User Profile\nMira runs the shop.\n\n## Staging\nPort 7432.\n"


class Rollout:
    """Rows of one file."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def row(self, kind: str, **payload: Any) -> None:
        stamp = f"2026-11-20T10:{len(self.rows) // 60 % 60:02}:{len(self.rows) % 60:02}.000Z"
        self.rows.append({"timestamp": stamp, "type": kind, "payload": payload})

    def meta(self, base: str | None = "You are a coding agent.") -> None:
        instructions = None if base is None else {"text": base}
        self.row("session_meta", id="a-rollout", cwd="/home/mira/shop", base_instructions=instructions)

    def item(self, kind: str, **fields: Any) -> None:
        self.row("response_item", type=kind, **fields)

    def says(self, role: str, *texts: str) -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        self.item("message", role=role, content=[{"type": kind, "text": text} for text in texts])

    def calls(self, call: str, command: str, name: str = "exec_command") -> None:
        self.item("function_call", name=name, arguments=json.dumps({"cmd": command}), call_id=call)

    def result(self, call: str, output: Any) -> None:
        self.item("function_call_output", call_id=call, output=output)

    def event(self, kind: str, **fields: Any) -> None:
        self.row("event_msg", type=kind, **fields)

    @property
    def data(self) -> bytes:
        return "".join(json.dumps(row) + "\n" for row in self.rows).encode()


def small_rollout() -> Rollout:
    """Two responses, every kind of memory, and citations."""
    made = Rollout()
    made.meta()
    made.says(
        "developer", f"Use memory.\n=== MEMORY_SUMMARY BEGINS ===\n{SUMMARY}\n=== MEMORY_SUMMARY ENDS ===\nThat is all."
    )
    made.says("user", "# AGENTS.md instructions for /home/mira/shop\n\n<INSTRUCTIONS>\nUse tabs.\n</INSTRUCTIONS>")
    made.says("user", "<environment_context>\n  <cwd>/home/mira/shop</cwd>\n</environment_context>")
    made.row("turn_context", cwd="/home/mira/shop", model="gpt-6-codex")
    made.says("user", "Which port?")
    made.event("user_message", message="Which port?")
    made.item("reasoning", summary=[], content=None, encrypted_content="abcdef")
    made.calls("c1", "sed -n '1,20p' /home/mira/.codex/memories/MEMORY.md")
    made.event("token_count", info={})
    made.result("c1", "Staging listens on 7432.")
    made.says(
        "assistant",
        "7432.\n<oai-mem-citation>\n<citation_entries>\nMEMORY.md:3-4|note=[the port]\n"
        "memory_summary.md:5-6|note=[port]\nrollout_summaries/x.md:1-2|note=[gone]\n</citation_entries>\n<rollout_ids>\n</rollout_ids>\n</oai-mem-citation>",
    )
    made.event("agent_message", message="7432.")
    made.event("token_count", info={})
    made.event("task_complete", turn_id="1")
    return made
