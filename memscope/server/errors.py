"""Error bodies of the scorer protocol: `{"error": {"message", "type", "param", "code"}}` with the right status."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

__all__ = ["ApiError", "bad_request", "error_body", "error_response"]

_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    409: "ConflictError",
    413: "RequestTooLargeError",
    421: "MisdirectedRequestError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class ApiError(Exception):
    """A request that cannot be answered, as the client sees it."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        """Make an error.

        Args:
            status: HTTP status.
            message: One clear line.
            param: The field at fault, if one is.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param


def bad_request(message: str, param: str | None = None) -> ApiError:
    """Return the error for a request whose content is wrong (400)."""
    return ApiError(400, message, param)


def error_body(error: ApiError) -> dict[str, object]:
    """Return the JSON body of an error."""
    kind = _TYPES.get(error.status, "Error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.status}}


def error_response(error: ApiError) -> Response:
    """Return the whole response of an error."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503:
        headers["Retry-After"] = "1"
    return Response(
        msgspec.json.encode(error_body(error)), error.status, headers=headers, media_type="application/json"
    )
