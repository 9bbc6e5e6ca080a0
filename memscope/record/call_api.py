"""The APIs whose calls are recorded, and which of them a request calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from memscope.record.encodings import UnreadableError, decoded_body, encoded_body
from memscope.record.marks import without_marks
from memscope.session.apis import anthropic_messages, openai_chat, openai_completions, openai_responses
from memscope.session.apis.base import CallReply, CallRequest

__all__ = ["CallApi", "api_for", "api_named"]


class CallApi(NamedTuple):
    """One of the APIs whose calls are recorded.

    Attributes:
        name: Its name in recordings: "openai-chat", "openai-responses", "openai-completions", "anthropic-messages".
        request: Reads the body of a request.
        reply: Reads the body of a response.
        streamed: Reads the events of a streamed response.
    """

    name: str
    request: Callable[[Mapping[str, Any], str], CallRequest]
    reply: Callable[[Mapping[str, Any]], CallReply]
    streamed: Callable[[Sequence[Mapping[str, Any]]], CallReply]

    def without_marks(self, body: bytes, content_encoding: str = "") -> bytes:
        """Return a request's body without its `memory` marks; the same object if it has none.

        Only the marks' own bytes are removed; a body that cannot be read is returned as it is. A compressed body with
        marks is compressed again.

        Args:
            body: The body as the agent sent it.
            content_encoding: The request's `Content-Encoding`.
        """
        try:
            plain = decoded_body(body, content_encoding)
        except UnreadableError:
            return body
        cut = without_marks(plain)
        return body if cut is plain else encoded_body(cut, content_encoding)


_MODULES = {
    "/chat/completions": openai_chat,
    "/completions": openai_completions,
    "/responses": openai_responses,
    "/messages": anthropic_messages,
}
_APIS = {end: CallApi(module.NAME, module.request, module.reply, module.streamed) for end, module in _MODULES.items()}
"""The APIs by the end of their path; the first one that matches counts."""
_OTHER_MESSAGES = "/threads/"
"""In the path of requests that end like a call of Anthropic's API and only add a message to a stored conversation."""


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


def api_named(name: str) -> CallApi | None:
    """Return the API with a name; None if there is none."""
    return next((api for api in _APIS.values() if api.name == name), None)
