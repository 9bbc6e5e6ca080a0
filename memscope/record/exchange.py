"""One recorded call: the request's body and the response's bytes, from whoever carries them over HTTP."""

from __future__ import annotations

import json
from typing import Any

from memscope.errors import SessionError
from memscope.record.call_api import CallApi, api_for
from memscope.record.encodings import BODY_LIMIT, UnreadableError, check_length, decoded_body
from memscope.record.lines import utc_now
from memscope.record.writer import RecordingWriter
from memscope.session.apis.base import CallReply, CallRequest
from memscope.session.apis.sse import is_event_stream, streamed_objects

__all__ = ["CallApi", "Exchange", "api_for"]

_FIRST_REFUSAL = 300
"""The first HTTP status that says that there is no response: the call was sent elsewhere, refused, or failed."""


class Exchange:
    """Collects one call and writes it to a recording when it is finished.

    Nothing here raises: what cannot be recorded is reported once through the writer, and the call goes on. Nothing is
    decoded before `finish`, so that no stream is delayed; `finish` may be called on any thread.
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
        self._api, self._writer = api, writer
        self._request, self._request_encoding = request_body, content_encoding
        self._timestamp = utc_now()
        self._chunks: list[bytes] = []
        self._length = 0

    def chunk(self, data: bytes) -> None:
        """Take the next bytes of the response's body, as they came from upstream; they may be split anywhere."""
        self._length += len(data)
        if self._length <= BODY_LIMIT:
            self._chunks.append(data)

    def finish(self, status_code: int | None, *, complete: bool, content_encoding: str = "") -> None:
        """Write the call.

        Args:
            status_code: The response's HTTP status; None if there was no response.
            complete: Whether the whole body arrived; False if either side closed early.
            content_encoding: The response's `Content-Encoding`.
        """
        try:
            request = self._read_request()
        except (UnreadableError, SessionError, ValueError, RecursionError) as error:
            refused = status_code is None or status_code >= _FIRST_REFUSAL
            if not refused:
                self._writer.report(f"the request of a call could not be read ({error}): it is not in the recording")
            return
        reply = self._read_reply(status_code, complete, content_encoding)
        self._write(request, reply, status_code)

    def _write(self, request: CallRequest, reply: CallReply, status_code: int | None) -> None:
        http_status = {} if status_code in (None, 200) else {"http_status": status_code}
        try:
            self._writer.add(request, reply, timestamp=self._timestamp, api=self._api.name, **http_status)
        except (ValueError, RecursionError) as error:
            self._writer.report(f"a call could not be written ({error}): it is not in the recording")

    def _read_request(self) -> CallRequest:
        body = _json_object(decoded_body(self._request, self._request_encoding))
        return self._api.request(body, "the request")

    def _read_reply(self, status_code: int | None, complete: bool, content_encoding: str) -> CallReply:
        if status_code is None or status_code >= _FIRST_REFUSAL:
            return CallReply(None, status="failed")
        try:
            check_length(self._length)
            return self._reply(decoded_body(b"".join(self._chunks), content_encoding))
        except (UnreadableError, SessionError, ValueError, RecursionError) as error:
            if complete:
                self._writer.report(f"a response could not be read ({error}): its call is recorded as failed")
            return CallReply(None, status="failed")

    def _reply(self, body: bytes) -> CallReply:
        if not is_event_stream(body):
            return self._api.reply(_json_object(body))
        stream = streamed_objects(body)
        reply = self._api.streamed(stream.objects)
        if stream.damaged:
            self._writer.report("a streamed response holds an event that is not JSON: it is recorded up to there")
            return reply._replace(status="cut") if reply.message else reply
        return reply


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object" if body.strip() else "empty")
    return value
