"""A small server that answers as the services do: OpenAI's responses and completions, and Anthropic's messages."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["ModelServer"]

ANSWER = "Your name is Mira."
WORDS = ("Your", " name", " is", " Mira.")


class ModelServer:
    """The application; `seen` are the bodies that it was sent, `headers` their header fields."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._ids = itertools.count(1)
        routes = {
            "/v1/responses": self._responses,
            "/v1/completions": self._completions,
            "/v1/messages": self._messages,
        }
        self.app = Starlette(
            routes=[Route(path, self._reading(answer), methods=["POST"]) for path, answer in routes.items()]
        )

    def _reading(self, answer: Callable[[dict[str, Any]], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = json.loads(await request.body())
            self.seen.append(body)
            self.headers.append(dict(request.headers))
            return answer(body)

        return endpoint

    def _responses(self, body: dict[str, Any]) -> Response:
        number = next(self._ids)
        text = {"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [text]}
        whole = {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": body["model"],
            "output": [item],
            "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        if not body.get("stream"):
            return JSONResponse(whole)
        begun = {**whole, "status": "in_progress", "output": []}
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
            {"type": "response.content_part.added", **place, "part": {**text, "text": ""}},
            *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in WORDS),
            {"type": "response.output_text.done", **place, "text": ANSWER, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": text},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        return _events({**event, "sequence_number": number} for number, event in enumerate(events))

    def _completions(self, body: dict[str, Any]) -> Response:
        choice = {"index": 0, "text": ANSWER, "finish_reason": "stop", "logprobs": None, "token_ids": [7, 8, 9]}
        whole = {"id": "cmpl_1", "object": "text_completion", "created": 1, "model": body["model"], "choices": [choice]}
        if not body.get("stream"):
            return JSONResponse(whole)
        pieces = ({**choice, "text": word, "token_ids": [number]} for number, word in enumerate(WORDS))
        return _events(({**whole, "choices": [piece]} for piece in pieces), named=False)

    def _messages(self, body: dict[str, Any]) -> Response:
        text = {"type": "text", "text": ANSWER}
        whole = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [text],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 4},
        }
        if not body.get("stream"):
            return JSONResponse(whole)
        return _events(
            (
                {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "ping"},
                *(
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                    for word in WORDS
                ),
                {"type": "content_block_stop", "index": 0},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 4},
                },
                {"type": "message_stop"},
            )
        )


def _events(events: Any, *, named: bool = True) -> Response:
    async def lines() -> AsyncIterator[str]:
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            yield f"{name}data: {json.dumps(event)}\n\n"
        if not named:
            yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")
