"""An example of a recording, and what hypothesis draws recordings from, as the rows of their lines."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.session.strategies import EXTRA, JSON, NAMES, PROMPTS, TEXTS, TIMES

RECORDING = """\
{"type":"recording","version":1,"id":"2026-11-24-a","title":"support agent","client":"python agent.py"}
{"type":"message","id":"m1","role":"system","content":[{"type":"text","text":"You are…\\n"},\
{"type":"text","text":"The user is called Mira.","memory":{"key":"user/name"}}]}
{"type":"message","id":"m2","role":"user","content":[{"type":"text","text":"What is my name?"}]}
{"type":"tools","id":"t1","tools":[{"name":"sh","description":"…","parameters":{}}]}
{"type":"message","id":"m3","role":"assistant","content":[{"type":"thinking","text":"hm"},\
{"type":"tool_call","id":"1","name":"sh","arguments":{"cmd":"ls"}}]}
{"type":"call","id":"c1","timestamp":"2026-11-24T10:00:00Z","api":"openai-chat","model":"qwen3-27b",\
"prompt":["m1","m2"],"tools":"t1","response":"m3","status":"complete","usage":{"input":812,"output":9}}
{"type":"message","id":"m4","role":"tool","content":[{"type":"tool_result","id":"1","text":"a.py"},\
{"type":"opaque","kind":"image","bytes":12}]}
{"type":"message","id":"m5","role":"assistant","content":[{"type":"text","text":"Mira"}]}
{"type":"call","id":"c2","model":"qwen3-27b","prompt":["m1","m2","m3","m4"],"response":"m5","status":"cut"}
"""

_IDS = st.sampled_from(["c1", "c2"])
_MARK = st.fixed_dictionaries({"key": NAMES})


def _part(part_type: str, optional: dict[str, Any] | None = None, **fields: st.SearchStrategy[Any]) -> Any:
    fixed = st.fixed_dictionaries({"type": st.just(part_type), **fields}, optional=optional or {})
    return st.tuples(EXTRA, fixed).map(lambda pair: {**pair[0], **pair[1]})


_PARTS = st.one_of(
    _part("text", {"memory": _MARK}, text=PROMPTS),
    _part("thinking", text=TEXTS),
    _part("tool_call", id=_IDS, name=NAMES | st.just("search_memory"), arguments=JSON),
    _part("tool_result", {"memory": _MARK}, id=_IDS, text=PROMPTS),
    _part("tokens", ids=st.lists(st.integers(0, 9), min_size=1, max_size=3), text=TEXTS),
    _part("opaque", kind=NAMES, bytes=st.integers(0, 9)),
)
_TOOL = st.tuples(EXTRA, st.fixed_dictionaries({"name": NAMES, "parameters": st.just({})}))


def _row(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": name, **{field: value for field, value in fields.items() if value is not None}}


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the rows of a recording: messages, tools, and calls that name what came before them."""
    made = [{"type": "recording", "version": 1, "id": draw(NAMES), "title": draw(TEXTS), **draw(EXTRA)}]
    messages: list[str] = []
    answers: list[str] = []
    for number in range(draw(st.integers(0, 8))):
        is_message: bool = draw(st.booleans())
        if not messages or is_message:
            role = draw(st.sampled_from(["system", "user", "assistant", "assistant", "tool"]))
            content = draw(st.lists(_PARTS, max_size=3))
            made.append(
                {**_row("message", f"m{number}", role=role, content=content, timestamp=draw(TIMES)), **draw(EXTRA)}
            )
            messages.append(f"m{number}")
            is_written = role == "assistant" and all(part["type"] != "tool_result" for part in content)
            answers += [f"m{number}"] * is_written
        else:
            tools = draw(st.sampled_from([None, f"t{number}"]))
            if tools:
                made.append(
                    _row("tools", tools, tools=[{**extra, **tool} for extra, tool in draw(st.lists(_TOOL, max_size=2))])
                )
            prompt = draw(st.lists(st.sampled_from(messages), max_size=4))
            free = sorted(set(answers) - set(prompt))
            response = draw(st.none() | st.sampled_from(free)) if free else None
            status = draw(st.sampled_from(["complete", "cut"])) if response else "failed"
            fields = {
                "prompt": prompt,
                "response": response,
                "status": status,
                "tools": tools,
                "timestamp": draw(TIMES),
            }
            made.append({**_row("call", f"c{number}", **fields, model=draw(NAMES), api=draw(NAMES)), **draw(EXTRA)})
    return made


def written(recording: list[dict[str, Any]]) -> bytes:
    """Return the lines of these rows."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in recording)
