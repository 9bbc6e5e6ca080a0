"""`memscope record`: run an agent behind the recording proxy, or the proxy alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from memscope.config import Config, recordings_folder
from memscope.record.child import Child, describe_command, find_command
from memscope.record.client import UpstreamClient
from memscope.record.proxy import Proxy
from memscope.record.serving import Serving, listen, serve
from memscope.record.signals import block_signals, read_signals
from memscope.record.upstream import ANTHROPIC_VARIABLES, OPENAI_VARIABLES, Upstream, choose_upstream, proxy_variables
from memscope.record.writer import RecordingWriter, new_recording
from memscope.secret import redacted_url
from memscope.terminal.counts import counted
from memscope.terminal.safe import one_line

__all__ = ["record"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 2.0
"""How long calls in flight are waited for before the user is told."""
_SWITCH_SECONDS = 0.0001
"""How long the thread that writes the recording may keep the interpreter from streams; Python's default is 5 ms."""


def record(command: Sequence[str], config: Config, out: str | None) -> int:
    """Record calls until a command ends, or without one until SIGINT or SIGTERM.

    Args:
        command: The agent's command; empty for none.
        config: The options.
        out: The recording's file; None for a new one in the recordings folder.

    Returns:
        The command's exit status; without a command, 130 after SIGINT.

    Raises:
        CommandError: The command cannot be run.
        RecordError: The port is taken.
        SessionError: The recording cannot be written.
        UsageError: An address is invalid.
    """
    upstream = choose_upstream(config.record_to, os.environ)
    if command:
        find_command(command[0])
    listener = listen(config.record_port)
    try:
        upstream.reject_port(listener.getsockname()[1])
        path = Path(out).expanduser() if out else new_recording(recordings_folder(config))
        messages = _Messages(held=bool(command))
        writer = RecordingWriter(path, client=describe_command(command), on_problem=messages.add)
    except BaseException:
        listener.close()
        raise
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        return asyncio.run(_record(command, upstream, listener, writer, messages))
    finally:
        writer.close()
        messages.release()


class _Messages:
    """Lines for stderr. While a command has the terminal they are held, so as not to write into its screen."""

    def __init__(self, *, held: bool) -> None:
        self._lines: list[str] | None = [] if held else None

    def add(self, line: str) -> None:
        if self._lines is None:
            _say(line)
        else:
            self._lines.append(line)

    def release(self) -> None:
        lines, self._lines = self._lines or [], None
        for line in lines:
            _say(line)


async def _record(
    command: Sequence[str], upstream: Upstream, listener: socket.socket, writer: RecordingWriter, messages: _Messages
) -> int:
    port: int = listener.getsockname()[1]
    before = writer.calls
    async with UpstreamClient() as client:
        proxy = Proxy(upstream, client, writer, messages.add)
        async with serve(proxy, listener) as serving:
            _say(f"recording to {writer.path}")
            if command:
                status = await _run_command(command, port, serving)
            else:
                status = await _until_stopped(serving, f"forwarding {_routes(port, upstream)}; press ctrl+c to stop")
            await _drain(serving)
        await asyncio.to_thread(proxy.finish)
    messages.add(_summary(writer, writer.calls - before, proxy.requests, port))
    return status


async def _run_command(command: Sequence[str], port: int, serving: Serving) -> int:
    """Run a command to its end and return its exit status."""
    loop = asyncio.get_running_loop()
    child = Child(command, proxy_variables(port, os.environ))

    def handle(number: int, from_terminal: bool) -> None:
        if child.running:
            if not from_terminal:
                child.pass_on(number)
        elif number in _ENDING:
            loop.call_soon_threadsafe(serving.cut)

    read_signals(child.signals, handle)
    return await child.wait()


async def _until_stopped(serving: Serving, announcement: str) -> int:
    """Wait for a signal and return the exit status that it stands for; a second one cuts the calls in flight."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if stopped.done():
            serving.cut()
        else:
            stopped.set_result(130 if number == signal.SIGINT else 0)

    def handle(number: int, _from_terminal: bool) -> None:
        loop.call_soon_threadsafe(stop, number)

    read_signals(block_signals(_ENDING), handle)
    _say(announcement)
    return await stopped


async def _drain(serving: Serving) -> None:
    draining = asyncio.ensure_future(serving.drain())
    await asyncio.wait((draining,), timeout=_PATIENCE_SECONDS)
    if not draining.done():
        _say(f"waiting for {counted(serving.in_flight, 'call')} in flight; press ctrl+c to stop")
    await draining


def _routes(port: int, upstream: Upstream) -> str:
    here = f"http://127.0.0.1:{port}"
    openai, anthropic = map(redacted_url, upstream)
    if openai.removesuffix("/v1") == anthropic:
        return f"{here}/v1 to {openai}"
    return f"{here}/v1 to {openai}, and calls of the Anthropic API at {here} to {anthropic}"


def _summary(writer: RecordingWriter, calls: int, requests: int, port: int) -> str:
    if calls:
        return f"recorded {counted(calls, 'call')} in {writer.path}"
    if requests:
        return f"no call was recorded: {counted(requests, 'request')} came, none of them to an API that is recorded"
    return (
        f"no call was recorded: none reached http://127.0.0.1:{port}; the agent must take its address from"
        f" {', '.join((*OPENAI_VARIABLES, *ANTHROPIC_VARIABLES))}"
    )


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr any more, which is no reason to fail a call
        sys.stderr.write(f"memscope: {one_line(line)}\n")
        sys.stderr.flush()
