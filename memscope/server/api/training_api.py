"""The HTTP API of training: `/v1/train`, also available as `/train`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memscope.server.api.guard import read_body
from memscope.server.api.replies import json_response
from memscope.server.api.schemas import check_model, decode
from memscope.server.runtime import Runtime
from memscope.server.training.jobs import ServerJobs
from memscope.server.training.request import TrainRequest

__all__ = ["training_routes"]


def training_routes(runtime: Runtime) -> list[Route]:
    """Return the routes of training; none if training is disabled."""
    if not runtime.options.training:
        return []
    api = _TrainingApi(runtime)
    return [
        route
        for path in ("/v1/train", "/train")
        for route in (
            Route(path, api.train, methods=["POST"]),
            Route(path, api.jobs, methods=["GET"]),
            Route(path + "/{name}", api.job, methods=["GET"]),
        )
    ]


class _TrainingApi:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._jobs = ServerJobs(runtime)

    async def train(self, request: Request) -> Response:
        body = await read_body(request, self._runtime.options.max_body_bytes)
        asked = decode(body, TrainRequest)
        loaded = self._runtime.loaded
        check_model(asked.model, loaded.name)
        asked.check(loaded.vocabulary, loaded.max_tokens)
        job = self._jobs.accept(asked, request.headers.get("Idempotency-Key"))
        return json_response({"job_id": job.id, "status": job.status})

    async def job(self, request: Request) -> Response:
        return json_response(self._jobs.get(request.path_params["name"]).as_json())

    async def jobs(self, _: Request) -> Response:
        return json_response({"jobs": [job.as_json() for job in self._jobs.all()]})
