"""Fixtures of the recording's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.record.harness import RunningProxy

StartProxy = Callable[[str], RunningProxy]


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Start a proxy in front of an upstream; it ends with the test."""
    started: list[RunningProxy] = []

    def start(upstream: str) -> RunningProxy:
        started.append(RunningProxy(upstream, tmp_path))
        return started[-1]

    yield start
    for proxy in started:
        proxy.finish()
