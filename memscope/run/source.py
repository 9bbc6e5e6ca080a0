"""Connect to the configured scorer, load its tokenizer, and render sessions for it.

HTTP and the tokenizer are imported on first use, after the screen has been painted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.config import Config
from memscope.engines.base import Scorer
from memscope.errors import PromptError, ScorerError, ScorerGoneError, UsageError
from memscope.prompt.prompt import Prompt
from memscope.secret import Secret, redacted_url
from memscope.session.nodes import Session

if TYPE_CHECKING:
    from memscope.engines.child import EmbeddedServer
    from memscope.engines.client import HttpScorer
    from memscope.engines.transport import Transport
    from memscope.prompt.rendering import SessionRenderer
    from memscope.prompt.tokenizer import Tokenizer

__all__ = ["ScorerSource"]


class ScorerSource:
    """The source of scores: the server at `--url`, or an embedded scorer in a child process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._server: EmbeddedServer | None = None
        self._scorer: HttpScorer | None = None
        self._renderer: SessionRenderer | None = None

    @property
    def description(self) -> str:
        """What will be contacted or started, on one line."""
        return f"{'asking' if self._config.url else 'starting'} {self.target}"

    @property
    def target(self) -> str:
        """The server's address without its password, or which embedded scorer."""
        if self._config.url:
            return redacted_url(self._config.url)
        return f"the embedded scorer with {self._config.model or 'the bundled model'}"

    @property
    def transport(self) -> Transport:
        """The connection to the scorer's server; requires `open`."""
        if self._scorer is None:
            raise ScorerGoneError("the scorer is gone")
        return self._scorer.transport

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer in use; requires `load_tokenizer`."""
        return self._session_renderer.tokenizer

    @property
    def _session_renderer(self) -> SessionRenderer:
        if self._renderer is None:
            raise RuntimeError("no tokenizer is loaded")
        return self._renderer

    @property
    def can_render(self) -> bool:
        """Whether a tokenizer is loaded, which also stays after the scorer was lost."""
        return self._renderer is not None

    async def open(self, on_wait: Callable[[str], None] = lambda _: None) -> Scorer:
        """Return a connected scorer whose numbers were checked.

        Args:
            on_wait: Called with one line while waiting for a server that is still loading its model.

        Raises:
            ScorerError: None is available; the message says what was tried.
        """
        from memscope.engines.child import EmbeddedServer
        from memscope.engines.client import connect
        from memscope.engines.transport import Transport

        await self.close()
        if self._config.url:
            transport, model = Transport(self._config.url, self._api_key()), self._config.model
        else:
            self._server = await EmbeddedServer.start(self._config.model, in_background=self._config.follow)
            transport, model = Transport(self._server.url, self._server.token, patient=True), None
        try:
            self._scorer = await connect(
                transport,
                model,
                self._config.dialect,
                kind="embedded" if self._server else None,
                watched=self._server is None,
                on_wait=on_wait,
            )
        except BaseException:
            await self.close()
            raise
        return self._scorer

    async def load_tokenizer(self) -> None:
        """Load the served model's tokenizer, off the event loop.

        Raises:
            PromptError: None is available.
        """
        from memscope.prompt.rendering import SessionRenderer
        from memscope.prompt.tokenizer import Tokenizer

        if self._scorer is None:
            raise ScorerError("no scorer is open")
        place = await self._tokenizer_location(self._scorer)
        tokenizer = await asyncio.to_thread(Tokenizer.load, place)
        self._renderer = SessionRenderer(tokenizer, self._config.template)

    async def render(self, session: Session) -> Prompt:
        """Render a session with the loaded tokenizer, off the event loop.

        Raises:
            PromptError: The tokenizer cannot render the session.
        """
        return await asyncio.to_thread(self._session_renderer.render, session)

    async def close(self) -> None:
        """Close the connections and stop the child process."""
        if self._scorer is not None:
            await self._scorer.close()
            self._scorer = None
        if self._server is not None:
            await self._server.stop()

    async def final_output(self) -> tuple[str, ...]:
        """Return the last output and exit status of the embedded scorer; empty for other servers."""
        return await self._server.final_output() if self._server else ()

    def last_lines(self) -> tuple[str, ...]:
        """Return the last output lines of the embedded scorer; empty for other servers."""
        return self._server.last_lines() if self._server else ()

    def _api_key(self) -> Secret | None:
        name = self._config.api_key_env
        if not (key := Secret(os.environ.get(name, ""))).reveal():
            return None
        if not (key.reveal().isascii() and key.reveal().isprintable()):
            raise UsageError(f"the API key in {name} has characters that are not allowed in an HTTP header")
        return key

    async def _tokenizer_location(self, scorer: HttpScorer) -> Path | str:
        from memscope.engines.tokenizer_files import fetch_tokenizer

        if self._config.tokenizer:
            return self._config.tokenizer
        cache = self._config.state_folder() / "tokenizers"
        if folder := await fetch_tokenizer(scorer.transport, cache):
            return folder
        if scorer.info.root:
            return scorer.info.root
        raise PromptError(
            f"{scorer.info.url} does not provide its tokenizer: set a folder or hub name with --tokenizer"
        )
