"""A server whose numbers could not be checked is never shown as one whose numbers were."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ScorerAddress
from tests.engines.faulty import Asked, between

pytestmark = pytest.mark.anyio


def without_ids(asked: Asked, reply: Any) -> Any:
    if asked.path == "/v1/completions":
        reply["choices"][0]["token_ids"] = None
    return reply


def unchanged(_: Asked, reply: Any) -> Any:
    return reply


async def memscope(*arguments: str) -> tuple[str, str]:
    """Run a command to its end and return what it wrote on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "memscope", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MEMSCOPE_CONFIG": os.devnull},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode(), err.decode()


@pytest.mark.parametrize("verified", [True, False])
async def test_every_command_says_whether_the_numbers_were_checked(
    verified: bool, scorer: ScorerAddress, small_file: Path, tmp_path: Path
) -> None:
    async with between(scorer, unchanged if verified else without_ids) as url:
        common = (str(small_file), "--url", url, "--state", str(tmp_path))
        matrix, said = await memscope("score", *common, "--format", "json")
        table, _ = await memscope("score", *common)
        found, _ = await memscope("doctor", *common, "--format", "json")
        text, _ = await memscope("doctor", *common)
    assert json.loads(matrix)["scorer"]["verified"] is verified
    assert ("not verified" in table) is not verified
    assert json.loads(found)["scorer"]["verified"] is verified
    assert f"verified: {verified}" in text
    for told in (said, text):
        assert ("the scorer's numbers could not be checked: it reports no ids" in told) is not verified
