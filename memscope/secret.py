"""Values that must not be shown: API keys, tokens, and the password in an address."""

from __future__ import annotations

import re

__all__ = ["Secret", "redacted_url"]

_USER_INFO = re.compile(r"//.*@", re.DOTALL)


class Secret:
    """A text that is hidden from every repr, so that no log and no traceback shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


def redacted_url(url: str) -> str:
    """Return an address as it may be shown: `***` in place of a user name and password.

    The address need not be valid, since errors about invalid ones show it too: everything up to the last `@` goes.
    """
    return _USER_INFO.sub("//***@", url)
