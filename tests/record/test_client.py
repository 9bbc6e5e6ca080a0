"""The client that forwards requests."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import httpx
import pytest

from memscope.record.client import UpstreamClient
from tests.record.conftest import StartProxy
from tests.record.harness import ANSWER, scripted


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_a_response_and_the_body_it_answers_are_freed_at_once() -> None:
    async def call(url: str) -> weakref.ref[httpx.Response]:
        async with UpstreamClient() as client:
            async with client.stream(httpx.Request("POST", url, content=b"large")) as response:
                reference = weakref.ref(response)
                assert await response.aread() == b"{}"
            del response
            return reference

    with scripted(ANSWER) as upstream:
        assert asyncio.run(call(upstream.url))() is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_calls_in_turn_share_a_connection_even_if_the_agent_closes_its_own(start_proxy: StartProxy, path: str) -> None:
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        for _ in range(5):
            assert httpx.post(proxy.url + path, content=b"{}").content == b"{}"
        assert (upstream.connections, len(upstream.requests)) == (1, 5)


def test_nothing_times_out_but_the_agent() -> None:
    async def limits(url: str) -> set[object]:
        request = httpx.Request("GET", url)
        async with UpstreamClient() as client, client.stream(request):
            return set(request.extensions.get("timeout", {}).values())

    with scripted(ANSWER) as upstream:
        assert asyncio.run(limits(upstream.url)) <= {None}
