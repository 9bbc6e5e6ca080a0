"""One recorded call: the request's body and the response's bytes, from whoever carries them over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memscope.record.writer import RecordingWriter

__all__ = ["CallApi", "Exchange", "api_for"]


@dataclass(frozen=True, slots=True)
class CallApi:
    """One of the APIs whose calls are recorded.

    Attributes:
        name: Its name in recordings: "openai-chat", "openai-responses", "openai-completions", "anthropic-messages".
    """

    name: str

    def without_marks(self, body: bytes, content_encoding: str = "") -> bytes:
        """Return a request's body without its `memory` marks; the same object if it has none.

        Only the marks' own bytes are removed; a body that is not JSON is returned as it is.

        Args:
            body: The body as the agent sent it.
            content_encoding: The request's `Content-Encoding`.
        """
        raise NotImplementedError


def api_for(method: str, path: str) -> CallApi | None:
    """Return the API that a request calls; None if it is none of the recorded ones.

    Args:
        method: The HTTP method.
        path: The path, with or without its query.
    """
    raise NotImplementedError


class Exchange:
    """Collects one call and writes it to a recording when it is finished.

    Nothing here raises: whatever cannot be recorded is reported once through the writer, and the call goes on. No
    method decodes anything before `finish`, so that none delays a stream; `finish` may be called on any thread.
    """

    def __init__(
        self, api: CallApi, request_body: bytes, writer: RecordingWriter, *, content_encoding: str = ""
    ) -> None:
        """Begin a call; its timestamp is now.

        Args:
            api: What `api_for` returned.
            request_body: The body as the agent sent it, with its marks.
            writer: The recording.
            content_encoding: The request's `Content-Encoding`.
        """
        raise NotImplementedError

    def chunk(self, data: bytes) -> None:
        """Take the next bytes of the response's body, as they came from upstream; they may be split anywhere."""
        raise NotImplementedError

    def finish(self, status_code: int | None, *, complete: bool, content_encoding: str = "") -> None:
        """Write the call.

        Args:
            status_code: The response's HTTP status; None if there was no response.
            complete: Whether the whole body arrived; False if either side closed early.
            content_encoding: The response's `Content-Encoding`.
        """
        raise NotImplementedError
