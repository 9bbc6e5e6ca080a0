"""The address of a scorer: its parts, and the user name and password that it may carry."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from memscope.errors import UsageError
from memscope.secret import Secret, redacted_url

__all__ = ["Address", "is_loopback", "parse_address"]


class Address(NamedTuple):
    """Where a server is.

    Attributes:
        root: The address without its `/v1`, a trailing slash, and user name and password.
        user: The user name for basic authentication; None when the address has none.
        password: The password that goes with it.
    """

    root: str
    user: str | None = None
    password: Secret | None = None


def parse_address(url: str) -> Address:
    """Take an address apart.

    Args:
        url: As in `http://host:8000/v1` or `https://user:password@host/v1`.

    Raises:
        UsageError: It is not an http(s) address.
    """
    wrong = UsageError(f"scorer {redacted_url(url)!r}: expected an address such as http://host:8000/v1")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL):
        raise wrong from None  # the cause quotes parts of the address, and they may be parts of the password
    if parts.scheme not in ("http", "https") or not usable or parts.query or parts.fragment:
        raise wrong
    _, _, host = parts.netloc.rpartition("@")
    root = parts._replace(netloc=host).geturl().rstrip("/").removesuffix("/v1").rstrip("/")
    if parts.username is None:
        return Address(root)
    return Address(root, unquote(parts.username), Secret(unquote(parts.password or "")))


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
