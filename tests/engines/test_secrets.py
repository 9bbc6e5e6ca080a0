"""Keys and passwords are sent to the server that was named, and shown nowhere."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.pretty import pretty_repr

from memscope.config import Config
from memscope.engines.address import parse_address
from memscope.engines.transport import RefusedError, Transport
from memscope.errors import UsageError
from memscope.run.source import ScorerSource
from memscope.secret import Secret, redacted_url
from tests.conftest import ScorerAddress
from tests.engines.faulty import Asked, answer, between, serving

pytestmark = pytest.mark.anyio

PASSWORD = "hunter/2%21"
URL_PASSWORD = "hunter%2F2%2521"
KEY = "a key that nobody may see"


def test_a_secret_shows_nothing() -> None:
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {pretty_repr(secret)}"
    assert secret.reveal() == KEY


async def test_a_transport_shows_neither_its_key_nor_its_password() -> None:
    client = Transport(f"http://mira:{URL_PASSWORD}@host/v1", Secret(KEY))
    shown = pretty_repr([vars(client), vars(client._client), vars(client._client.auth)])
    assert not [word for word in (KEY, "hunter", "mira:") if word in shown]
    assert client.root == "http://host"
    await client.close()


async def test_a_password_in_the_address_is_sent_as_basic_authentication() -> None:
    seen: list[Asked] = []

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        seen.append(asked)
        answer(writer, {"error": "no"}, 401)

    async with serving(handle) as url:
        client = Transport(url.replace("//", f"//mira:{URL_PASSWORD}@"), Secret(KEY))
        with pytest.raises(RefusedError) as caught:
            await client.get("/v1/models")
        await client.close()
    assert "hunter" not in str(caught.value)
    assert seen[0].headers["authorization"] == "Basic " + base64.b64encode(f"mira:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@host:99999/v1", "ftp://u:hunter2@host", "http://u:hun/ter2@host", "http://u:hunter2@:x/"]
)
def test_a_wrong_address_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(url)
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_options_show_an_address_without_its_password() -> None:
    config = Config(url="http://mira:hunter2@host/v1")
    assert "hunter2" not in f"{config!r} {pretty_repr(config)} {ScorerSource(config).description}"
    assert "http://***@host/v1" in repr(config)
    assert redacted_url("http://host/v1") == "http://host/v1"


@pytest.mark.parametrize("command", [["score", "--format", "json"], ["doctor", "--format", "json"], ["score"]])
async def test_a_whole_command_shows_the_password_nowhere(
    command: list[str], scorer: ScorerAddress, small_file: Path, tmp_path: Path
) -> None:
    sent: set[str] = set()

    def note(asked: Asked, reply: Any) -> Any:
        sent.add(asked.headers.get("authorization", ""))
        return reply

    state = tmp_path / "state"
    async with between(scorer, note) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "memscope", command[0], str(small_file), *command[1:]),
            *("--url", url.replace("//", "//mira:hunter2@"), "--state", str(state)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "MEMSCOPE_CONFIG": os.devnull},
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert sent == {"Basic " + base64.b64encode(b"mira:hunter2").decode()}
    assert b"hunter2" not in out + err
    assert not [file for file in state.rglob("*") if file.is_file() and b"hunter2" in file.read_bytes()]
