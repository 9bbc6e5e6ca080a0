"""Claude Code transcripts for tests, row by row as the agent writes them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["PROJECT", "Transcript", "call", "small_transcript"]

PROJECT = "/home/mira/shop"


class Transcript:
    """Rows of one file; each follows the row before it unless it names another parent."""

    def __init__(self, **common: Any) -> None:
        self.rows: list[dict[str, Any]] = []
        self.last: str | None = None
        self._common = {"sessionId": "a-session", "cwd": PROJECT, "version": "2.1.0", "isSidechain": False, **common}

    def row(self, kind: str, uuid: str = "", **fields: Any) -> str:
        """Add a row and return its id."""
        uuid = uuid or f"{kind}-{len(self.rows)}"
        parent = fields.pop("parent", self.last)
        stamp = f"2026-11-20T10:{len(self.rows) // 60 % 60:02}:{len(self.rows) % 60:02}.000Z"
        row = {"type": kind, "uuid": uuid, "parentUuid": parent, "timestamp": stamp, **self._common, **fields}
        self.rows.append(row)
        self.last = uuid
        return uuid

    def plain(self, **fields: Any) -> None:
        """Add a row outside of the tree."""
        self.rows.append(fields)

    def user(self, content: Any, **fields: Any) -> str:
        return self.row("user", message={"role": "user", "content": content}, **fields)

    def result(self, call: str, content: Any, **fields: Any) -> str:
        return self.user([{"type": "tool_result", "tool_use_id": call, "content": content}], **fields)

    def assistant(self, *blocks: Any, message: str = "", stop: str | None = "end_turn", **fields: Any) -> str:
        content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
        model = fields.pop("model", "claude-opus-5")
        sent = {"role": "assistant", "id": message or f"msg-{len(self.rows)}", "model": model, "stop_reason": stop}
        return self.row("assistant", message={**sent, "content": content}, **fields)

    def attach(self, kind: str, **fields: Any) -> str:
        parent = {"parent": fields.pop("parent")} if "parent" in fields else {}
        side = {name: fields.pop(name) for name in ("isSidechain", "agentId") if name in fields}
        return self.row("attachment", attachment={"type": kind, **fields}, **parent, **side)

    @property
    def data(self) -> bytes:
        return "".join(json.dumps(row) + "\n" for row in self.rows).encode()


def call(name: str, id_: str, **arguments: Any) -> dict[str, Any]:
    """Return a block that calls a tool."""
    return {"type": "tool_use", "id": id_, "name": name, "input": arguments}


def small_transcript() -> Transcript:
    """Two responses and every kind of memory."""
    made = Transcript()
    made.plain(type="file-history-snapshot", messageId="x", snapshot={}, isSnapshotUpdate=False)
    made.attach(
        "prompt_snapshot",
        systemPrompt=["You are an agent.", "Be brief."],
        tools=[{"name": "Bash", "description": "run", "input_schema": {"type": "object"}}],
    )
    made.attach(
        "instructions",
        files=[
            {"path": f"{PROJECT}/CLAUDE.md", "type": "Project", "content": "Use tabs."},
            {"path": "/home/mira/.claude/CLAUDE.md", "type": "User", "content": "Call me Mira."},
        ],
    )
    made.attach("nested_memory", path=f"{PROJECT}/db/CLAUDE.md", content={"path": "x", "content": "Port 7432."})
    made.user("Which port?")
    made.attach(
        "relevant_memories",
        memories=[
            {"path": "/home/mira/.claude/projects/-shop/memory/db.md", "content": "Staging is slow.", "mtimeMs": 1},
            {"path": "/home/mira/.claude/projects/-shop/memory/tea.md", "content": "Likes tea.", "header": "Old note:"},
        ],
    )
    made.attach("hook_additional_context", hookName="SessionStart:startup", content=["It is Monday."])
    made.assistant("Let me look.", message="m1", stop=None)
    made.assistant(call("Bash", "t1", command="cat db.conf"), message="m1", stop="tool_use")
    made.result("t1", "port=7432")
    made.assistant("7432.", message="m2")
    made.plain(type="summary", summary="The staging port", leafUuid=made.last)
    return made
