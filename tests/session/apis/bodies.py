"""Requests, responses and streams of each API, as its servers send them: all of one turn of the same agent.

The turn reasons, says "I list them.", and calls a tool. A stream holds the same response as the body beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

PARAMETERS = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
CHAT_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "sh", "description": "Run a command.", "parameters": PARAMETERS},
}
TOOL = CHAT_TOOL["function"]
ARGUMENTS = '{"cmd": "ls"}'
TURN = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "text": "They want files."},
        {"type": "text", "text": "I list them."},
        {"type": "tool_call", "id": "call_1", "name": "sh", "arguments": {"cmd": "ls"}},
    ],
}
"""The canonical message of the response, in every API."""

_CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "sh", "arguments": ARGUMENTS}}
CHAT_MESSAGE = {
    "role": "assistant",
    "content": "I list them.",
    "refusal": None,
    "annotations": [],
    "reasoning_content": "They want files.",
    "tool_calls": [_CHAT_CALL],
}
_CHAT_HEAD = {"id": "chatcmpl-1", "created": 1780000000, "model": "qwen3-27b"}
CHAT_REPLY: dict[str, Any] = {
    **_CHAT_HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": CHAT_MESSAGE, "logprobs": None, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 82, "completion_tokens": 17, "total_tokens": 99},
}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_CHAT_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def _call_delta(**function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": function}]}


CHAT_STREAM: list[dict[str, Any]] = [
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"reasoning_content": "They want"}),
    _chunk({"reasoning_content": " files."}),
    _chunk({"content": "I list"}),
    _chunk({"content": " them."}),
    _chunk(
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "sh", "arguments": ""}}]}
    ),
    _chunk(_call_delta(arguments='{"cmd":')),
    _chunk(_call_delta(arguments=' "ls"}')),
    _chunk({}, "tool_calls"),
    {**_chunk({}), "choices": [], "usage": CHAT_REPLY["usage"]},
]

COMPLETIONS_REPLY: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1780000000,
    "model": "qwen3-27b",
    "choices": [
        {"index": 0, "text": " upon a", "logprobs": None, "finish_reason": "stop", "token_ids": [7, 8],
         "prompt_token_ids": [1, 2]}
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
}  # fmt: skip
_COMPLETION_HEAD = {name: COMPLETIONS_REPLY[name] for name in ("id", "object", "created", "model")}
COMPLETIONS_STREAM: list[dict[str, Any]] = [
    {
        **_COMPLETION_HEAD,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "token_ids": ids}],
    }
    for text, ids, finish in ((" upon", [7], None), (" a", [8], "stop"))
] + [{**_COMPLETION_HEAD, "choices": [], "usage": COMPLETIONS_REPLY["usage"]}]

_REASONED = {"type": "reasoning_text", "text": "They want files."}
_REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "content": [_REASONED],
    "encrypted_content": None,
    "status": "completed",
}
_SAID = {"type": "output_text", "text": "I list them.", "annotations": [], "logprobs": []}
_ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [_SAID]}
_CALL_ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "sh",
    "arguments": ARGUMENTS,
    "status": "completed",
}
RESPONSES_REPLY: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1780000000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-5-mini",
    "output": [_REASONING, _ITEM, _CALL_ITEM],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 82,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 17,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 99,
    },
}
_STARTED = {**RESPONSES_REPLY, "status": "in_progress", "output": [], "usage": None}


def _numbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _text_events(item: str, index: int, kind: str, part: dict[str, Any], deltas: Iterable[str]) -> list[dict[str, Any]]:
    place = {"item_id": item, "output_index": index, "content_index": 0}
    empty = {**part, "text": ""}
    more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
    return [
        {"type": "response.content_part.added", **place, "part": empty},
        *({"type": f"response.{kind}.delta", **place, "delta": delta, **more} for delta in deltas),
        {"type": f"response.{kind}.done", **place, "text": part["text"], **more},
        {"type": "response.content_part.done", **place, "part": part},
    ]


def _item_events(
    index: int, item: dict[str, Any], begun: dict[str, Any], inner: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    added = {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {**item, "status": "in_progress", **begun},
    }
    return [added, *inner, {"type": "response.output_item.done", "output_index": index, "item": item}]


_CALL_PLACE = {"item_id": "fc_1", "output_index": 2}
RESPONSES_STREAM: list[dict[str, Any]] = _numbered(
    [
        {"type": "response.created", "response": _STARTED},
        {"type": "response.in_progress", "response": _STARTED},
        *_item_events(0, _REASONING, {"content": []},
                      _text_events("rs_1", 0, "reasoning_text", _REASONED, ["They want", " files."])),
        *_item_events(1, _ITEM, {"content": []}, _text_events("msg_1", 1, "output_text", _SAID, ["I list", " them."])),
        *_item_events(2, _CALL_ITEM, {"arguments": ""}, [
            {"type": "response.function_call_arguments.delta", **_CALL_PLACE, "delta": '{"cmd":'},
            {"type": "response.function_call_arguments.delta", **_CALL_PLACE, "delta": ' "ls"}'},
            {"type": "response.function_call_arguments.done", **_CALL_PLACE, "name": "sh", "arguments": ARGUMENTS},
        ]),
        {"type": "response.completed", "response": RESPONSES_REPLY},
    ]
)  # fmt: skip

_THINKING = {"type": "thinking", "thinking": "They want files.", "signature": "c2lnbmVk"}
_USE = {"type": "tool_use", "id": "call_1", "name": "sh", "input": {"cmd": "ls"}}
ANTHROPIC_REPLY: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-5",
    "content": [_THINKING, {"type": "text", "text": "I list them.", "citations": None}, _USE],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 12,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 50,
        "output_tokens": 17,
        "service_tier": "standard",
    },
}


def _block(index: int, begun: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


ANTHROPIC_STREAM: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            **ANTHROPIC_REPLY,
            "content": [],
            "stop_reason": None,
            "usage": {**ANTHROPIC_REPLY["usage"], "output_tokens": 1},
        },
    },
    *_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "They want"},
        {"type": "thinking_delta", "thinking": " files."},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ),
    {"type": "ping"},
    *_block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "I list"},
        {"type": "text_delta", "text": " them."},
    ),
    *_block(
        2,
        {**_USE, "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"cmd":'},
        {"type": "input_json_delta", "partial_json": ' "ls"}'},
    ),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 17},
    },
    {"type": "message_stop"},
]


def sse(events: Iterable[dict[str, Any]], *, done: bool = True) -> bytes:
    """Return events as a stream, with their type as its event name where they have one, as the services do."""
    lines = [
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
        for event in events
    ]
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()
