"""Parse the URL of a scorer, including an optional user name and password."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from memscope.errors import UsageError
from memscope.secret import Secret, redacted_url

__all__ = ["Address", "is_loopback", "parse_address"]


class Address(NamedTuple):
    """The address of a server.

    Attributes:
        root: The URL without `/v1`, trailing slash, user name and password.
        user: The user name for basic authentication; None if there is none.
        password: The password for basic authentication.
    """

    root: str
    user: str | None = None
    password: Secret | None = None


def parse_address(url: str) -> Address:
    """Parse the URL of a scorer.

    Args:
        url: A URL such as `http://host:8000/v1` or `https://user:password@host/v1`.

    Raises:
        UsageError: It is not an http(s) URL.
    """
    wrong = UsageError(f"scorer {redacted_url(url)!r}: expected an address such as http://host:8000/v1")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        raise wrong from None  # the cause quotes parts of the URL, which may include the password
    if parts.scheme not in ("http", "https") or not usable or parts.query or parts.fragment:
        raise wrong
    _, _, host = parts.netloc.rpartition("@")
    root = parts._replace(netloc=host).geturl().rstrip("/").removesuffix("/v1").rstrip("/")
    if parts.username is None:
        return Address(root)
    return Address(root, unquote(parts.username), Secret(unquote(parts.password or "")))


def is_loopback(url: str) -> bool:
    """Return whether a URL refers to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
