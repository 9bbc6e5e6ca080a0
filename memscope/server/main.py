"""Run the scorer: bind the port, load the model, announce, serve, shut down."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from memscope.errors import MemscopeError, ScorerError, UsageError
from memscope.server.compute.folder import check_installed
from memscope.server.lifetime import end_with_parent, end_with_stdin
from memscope.server.options import ServeOptions
from memscope.server.training.saving import check_target

if TYPE_CHECKING:
    import uvicorn

    from memscope.server.runtime import Runtime

__all__ = ["serve"]

_GRACE_SECONDS = 1
_PATIENCE_SECONDS = 1.0
"""After this time of loading a line says so, since requests are refused meanwhile."""

_IDLE_SECONDS = 75  # longer than clients keep idle connections, so that none is closed while being reused


def serve(options: ServeOptions) -> None:
    """Serve a model until SIGTERM, SIGINT or the exit of the parent. Call on the main thread.

    The port answers `/health` while the model is still loading.

    Raises:
        UsageError: The address is not loopback and there is no API key, or the folder to save to has other files.
        ScorerError: Packages are missing, the port is taken, or the model cannot be loaded.
        KeyboardInterrupt: Ended by SIGINT.
    """
    if options.parent_pid is not None:
        end_with_parent(options.parent_pid)
    if options.watch_stdin:
        end_with_stdin()
    check_installed()
    if options.save_to is not None:
        check_target(options.save_to)
    listener = _listen(options)
    from memscope.server.api.app import create_app
    from memscope.server.runtime import Runtime

    runtime = Runtime(options)
    server = _uvicorn(create_app(runtime))
    loader = threading.Thread(target=_load, args=(runtime, server, listener), name="memscope-load", daemon=True)
    with _signals(server) as received:
        loader.start()
        server.run(sockets=[listener])
    _finish(runtime, loader, interrupted=signal.SIGINT in received)


def _listen(options: ServeOptions) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot listen on {options.host}: {error}") from None
    if options.api_key is None and not ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback:
        raise UsageError(
            f"refused to listen on {options.host} without an API key: anyone who reaches it could use the model;"
            " set one, or listen on 127.0.0.1"
        )
    # asyncio sends answers at once only on sockets that name their protocol: else each waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ScorerError(
            f"cannot listen on {options.host} port {options.port}: {error}; choose another with --port"
        ) from None
    return listener


def _uvicorn(app: object) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # our own handlers are already installed

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return Server(config)


@contextlib.contextmanager
def _signals(server: uvicorn.Server) -> Iterator[set[int]]:
    received: set[int] = set()

    def stop(number: int, _frame: FrameType | None) -> None:
        received.add(number)
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load(runtime: Runtime, server: uvicorn.Server, listener: socket.socket) -> None:
    patience = threading.Timer(_PATIENCE_SECONDS, _say, ["loading the model …"])
    patience.daemon = True
    if not runtime.options.announce:
        patience.start()
    runtime.load()
    patience.cancel()
    if runtime.error is not None:
        server.should_exit = True
    elif not runtime.options.announce:
        host, port, loaded = runtime.options.host, listener.getsockname()[1], runtime.loaded
        at = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        _say(f"{loaded.name} ({loaded.dtype}, {loaded.device}) is ready at {at}; press ctrl+c to stop")
    else:
        line = json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"memscope: {line}\n")
    sys.stderr.flush()


def _finish(runtime: Runtime, loader: threading.Thread, *, interrupted: bool) -> None:
    stopped = runtime.stop(_GRACE_SECONDS)
    if isinstance(runtime.error, MemscopeError):
        raise runtime.error
    if runtime.error is not None:
        raise ScorerError(f"the model cannot be loaded: {runtime.error}") from runtime.error
    if loader.is_alive() or not stopped:
        # A thread in a native library cannot be interrupted, and must not outlive the interpreter.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130 if interrupted else 0)
    if interrupted:
        raise KeyboardInterrupt
