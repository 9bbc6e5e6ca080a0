"""The APIs whose calls are recorded, and which of them a request calls.

The module that reads an API's bodies is imported with the first call of that API, so that a recorder adds next to
nothing to the start of an agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, cast

from memscope.session.apis.base import CallReply, CallRequest

__all__ = ["CallApi", "api_for", "api_named", "counts_tokens"]


class CallApi(NamedTuple):
    """One of the APIs whose calls are recorded.

    Attributes:
        name: Its name in recordings: "openai-chat", "openai-responses", "openai-completions", "anthropic-messages".
    """

    name: str

    def request(self, body: Mapping[str, Any], where: str) -> CallRequest:
        """Read the body of a request; see the API's module in `memscope.session.apis`."""
        return cast(CallRequest, self._module().request(body, where))

    def reply(self, body: Mapping[str, Any]) -> CallReply:
        """Read the body of a response that was not streamed; see the API's module."""
        return cast(CallReply, self._module().reply(body))

    def streamed(self, events: Sequence[Mapping[str, Any]]) -> CallReply:
        """Read the events of a streamed response; see the API's module."""
        return cast(CallReply, self._module().streamed(events))

    def _module(self) -> Any:
        return import_module(f"memscope.session.apis.{self.name.replace('-', '_')}")


_APIS = {
    "/chat/completions": CallApi("openai-chat"),
    "/completions": CallApi("openai-completions"),
    "/responses": CallApi("openai-responses"),
    "/messages": CallApi("anthropic-messages"),
}
"""The APIs by the end of their path; the first one that matches counts."""
_TOKEN_COUNTS = ("/messages/count_tokens", "/responses/input_tokens")
"""The ends of the paths where tokens are counted."""
_OTHER_MESSAGES = "/threads/"
"""In the path of requests that end like a call of Anthropic's API but add a message to a stored conversation."""


def api_for(method: str, path: str) -> CallApi | None:
    """Return the API that a request calls; None if it is none of the recorded ones.

    Args:
        method: The HTTP method.
        path: The path, with or without its query.
    """
    plain = path.partition("?")[0].rstrip("/")
    if method.upper() != "POST" or _OTHER_MESSAGES in plain:
        return None
    return next((api for end, api in _APIS.items() if plain.endswith(end)), None)


def counts_tokens(method: str, path: str) -> bool:
    """Return whether a request sends the messages of a call to have their tokens counted: they may be marked too.

    Args:
        method: The HTTP method.
        path: The path, with or without its query.
    """
    return method.upper() == "POST" and path.partition("?")[0].rstrip("/").endswith(_TOKEN_COUNTS)


def api_named(name: str) -> CallApi | None:
    """Return the API with a name; None if there is none."""
    return next((api for api in _APIS.values() if api.name == name), None)
