"""The HTTP API of the scorer. Handlers validate requests, pass work to the worker, and build responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from memscope.server.api.chat_schemas import ChatRequest
from memscope.server.api.disconnect import cancel_on_disconnect, closing
from memscope.server.api.guard import Guard, read_body
from memscope.server.api.replies import json_response
from memscope.server.api.schemas import CompletionRequest, ScoringRequest, check_ids, check_model, check_ranges, decode
from memscope.server.api.training_api import training_routes
from memscope.server.errors import ApiError, bad_request, error_response
from memscope.server.runtime import Runtime

__all__ = ["create_app"]

T = TypeVar("T")
_Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

_CLIENT_CLOSED = 499
"""Status of a response to a client that has disconnected."""


def create_app(runtime: Runtime) -> Starlette:
    """Return the ASGI application around a runtime."""
    api = _Api(runtime)
    own = [
        Route("/health", api.health),
        Route("/version", api.version),
        Route("/v1/models", api.models),
        Route("/v1/tokenizer", api.tokenizer),
        Route("/v1/score", api.score, methods=["POST"]),
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/chat/completions", api.chat_completions, methods=["POST"]),
    ]
    app = Starlette(
        routes=own + training_routes(runtime),
        middleware=[Middleware(Guard, api_key=runtime.options.api_key, host=runtime.options.host)],
        exception_handlers={
            ApiError: _on_api_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_failure,
        },
    )
    app.router.redirect_slashes = False
    return app


class _Api:
    """The handlers of one server."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def health(self, _: Request) -> Response:
        status = self._runtime.status
        error = self._runtime.error
        body = {"status": status} if error is None else {"status": status, "error": str(error)}
        response = json_response(body, 200 if status == "ok" else 503)
        if status == "loading":
            response.headers["Retry-After"] = "1"
        return response

    async def version(self, _: Request) -> Response:
        try:
            return json_response({"version": version("memscope")})
        except PackageNotFoundError:
            return json_response({"version": "0"})

    async def models(self, _: Request) -> Response:
        loaded = self._runtime.loaded
        card = {
            "id": loaded.name,
            "object": "model",
            "created": 0,
            "owned_by": "memscope",
            "root": str(loaded.root),
            "parent": None,
            "max_model_len": loaded.max_tokens,
            "vocab_size": loaded.vocabulary,
            "weights": loaded.weights,
            "dtype": loaded.dtype,
            "device": loaded.device,
            "prefix_cache": loaded.path.prefix_cache,
            "prefix_cache_tokens": loaded.prefix_cache_tokens,
            "path": loaded.path.name,
            "attention": loaded.path.attention,
            "note": loaded.path.note,
            "training": self._runtime.options.training,
        }
        return json_response({"object": "list", "data": [card]})

    async def tokenizer(self, _: Request) -> Response:
        return json_response({"files": await asyncio.to_thread(self._runtime.loaded.tokenizer.files)})

    async def score(self, request: Request) -> Response:
        from memscope.server.compute.scoring_steps import score_ranges

        asked = await self._body(request, ScoringRequest)
        loaded = self._runtime.loaded
        check_model(asked.model, loaded.name)
        check_ids(asked.prompt, loaded.vocabulary, loaded.max_tokens)
        ranges = asked.score_ranges
        if ranges is None:
            if not loaded.tokenizer.chatml:
                raise bad_request("score_ranges is needed: the tokenizer has no ChatML turns", "score_ranges")
            ranges = loaded.tokenizer.assistant_turns(asked.prompt)
        check_ranges(ranges, len(asked.prompt))
        work = self._runtime.worker.run(
            lambda: score_ranges(loaded.alternate if asked.alternate_path else loaded, asked.prompt, ranges),
            lane="score",
            priority=asked.priority,
        )
        found = await cancel_on_disconnect(request, work)
        scores: list[dict[str, Any]] = [
            {"total_logprob": float(values.sum(dtype="float64"))} for values in found.ranges
        ]
        if asked.logprobs:
            for score, values in zip(scores, found.ranges, strict=True):
                score["token_logprobs"] = values.tolist()
        usage = {
            "prompt_tokens": len(asked.prompt),
            "cached_tokens": found.cached_tokens,
            "computed_tokens": found.computed_tokens,
        }
        return json_response({"model": loaded.name, "scores": scores, "usage": usage, "weights": found.weights})

    async def completions(self, request: Request) -> Response:
        from memscope.server.api.completions import complete, prompts_of, stream

        asked = await self._body(request, CompletionRequest)
        loaded = self._runtime.loaded
        check_model(asked.model, loaded.name)
        asked.check()
        if not asked.stream:
            return json_response(await cancel_on_disconnect(request, complete(asked, loaded, self._runtime.worker)))
        prompts_of(asked, loaded)  # report errors with their status before the stream begins
        return StreamingResponse(closing(stream(asked, loaded, self._runtime.worker)), media_type="text/event-stream")

    async def chat_completions(self, request: Request) -> Response:
        from memscope.server.api.chat import ChatGeneration

        asked = await self._body(request, ChatRequest)
        loaded = self._runtime.loaded
        check_model(asked.model, loaded.name)
        chat = ChatGeneration.of(asked, loaded, self._runtime.worker)
        if not asked.stream:
            return json_response(await cancel_on_disconnect(request, chat.complete()))
        return StreamingResponse(closing(chat.stream()), media_type="text/event-stream")

    async def _body(self, request: Request, kind: type[T]) -> T:
        body = await read_body(request, self._runtime.options.max_body_bytes)
        return decode(body, kind)  # type: ignore[type-var]


async def _on_api_error(_: Request, error: Exception) -> Response:
    return error_response(error if isinstance(error, ApiError) else ApiError(500, str(error)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    messages = {
        404: f"there is no {request.url.path} here",
        405: f"{request.url.path} does not take {request.method}",
    }
    return error_response(ApiError(status, messages.get(status, str(error))))


async def _on_disconnect(_: Request, _error: Exception) -> Response:
    return Response(status_code=_CLIENT_CLOSED)


async def _on_failure(_: Request, error: Exception) -> Response:
    return error_response(ApiError(500, f"the scorer failed: {type(error).__name__}: {error}"))
