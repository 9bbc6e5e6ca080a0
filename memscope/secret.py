"""Values that must not be displayed: API keys, tokens, and passwords in URLs."""

from __future__ import annotations

import re

__all__ = ["Secret", "redacted_url"]

_USER_INFO = re.compile(r"//.*@", re.DOTALL)


class Secret:
    """A string whose repr is hidden, so that it appears in no log and no traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for sending it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


def redacted_url(url: str) -> str:
    """Return a URL for display, with `***` in place of user name and password.

    Invalid URLs are handled too, since error messages show them: everything up to the last `@` is replaced.
    """
    return _USER_INFO.sub("//***@", url)
