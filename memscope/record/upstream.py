"""Where a call is forwarded: the server that the agent would have called without the proxy.

`/v1` on the proxy stands for the OpenAI-style base URL, whatever its path is, because clients append
`/chat/completions` to it. Clients of the Anthropic API append `/v1/messages` to theirs, so their paths are appended
whole. The two are told apart by the header that every request to the Anthropic API has, and by the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from memscope.errors import UsageError
from memscope.secret import redacted_url

__all__ = ["ANTHROPIC_VARIABLES", "OPENAI_VARIABLES", "Upstream", "choose_upstream", "is_anthropic", "proxy_variables"]

OPENAI_VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
"""Variables that hold an OpenAI-style base URL; the first that is set counts."""

ANTHROPIC_VARIABLES = ("ANTHROPIC_BASE_URL",)
"""Variables that hold the base URL of the Anthropic API."""

_OPENAI = "https://api.openai.com/v1"
_ANTHROPIC = "https://api.anthropic.com"
_ANTHROPIC_PATH = re.compile(rb"/v1/(messages|complete)(/|$)")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_LOOPBACK = ("127.0.0.1", "localhost")


class Upstream(NamedTuple):
    """The servers that calls are forwarded to; URLs have no trailing slash.

    Attributes:
        openai: The OpenAI-style base URL, such as `https://api.openai.com/v1`.
        anthropic: The base URL of the Anthropic API, such as `https://api.anthropic.com`.
    """

    openai: str
    anthropic: str

    def url(self, path: bytes, *, anthropic: bool) -> str:
        """Return the URL that a request for a path on the proxy is forwarded to.

        Args:
            path: The path as it was sent, still percent-encoded, without the query.
            anthropic: What `is_anthropic` returned.
        """
        suffix = path.decode("latin-1")
        if anthropic:
            return self.anthropic + suffix
        if suffix == "/v1" or suffix.startswith("/v1/"):
            return self.openai + suffix.removeprefix("/v1")
        return self.openai.removesuffix("/v1") + suffix

    def reject_port(self, port: int) -> None:
        """Check that neither server is the proxy itself.

        Args:
            port: The proxy's port on loopback.

        Raises:
            UsageError: One is, so that calls would never end.
        """
        for url in self:
            parts = urlsplit(url)
            if parts.port == port and parts.hostname in _LOOPBACK:
                raise UsageError(f"calls would be forwarded to the recorder itself at {redacted_url(url)}; set --to")


def is_anthropic(path: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request is meant for the Anthropic API."""
    return b"anthropic-version" in headers or _ANTHROPIC_PATH.match(path) is not None


def choose_upstream(to: str | None, environ: Mapping[str, str]) -> Upstream:
    """Return where calls are forwarded.

    Args:
        to: A base URL for all of them, with or without `/v1`; None for what the environment says, or else for the
            services themselves.
        environ: The environment that the agent would have had.

    Raises:
        UsageError: An address is not an http(s) URL.
    """
    if to:
        base = _checked(to, "--to")
        return Upstream(base if urlsplit(base).path else f"{base}/v1", base.removesuffix("/v1"))
    return Upstream(_from(OPENAI_VARIABLES, environ, _OPENAI), _from(ANTHROPIC_VARIABLES, environ, _ANTHROPIC))


def proxy_variables(port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that makes an agent send its calls to the proxy.

    Where the environment names an HTTP proxy, loopback is excluded from it: the calls would go there instead.

    Args:
        port: The proxy's port on loopback.
        environ: The environment that the agent would have had.
    """
    root = f"http://127.0.0.1:{port}"
    ours = dict.fromkeys(OPENAI_VARIABLES, f"{root}/v1") | dict.fromkeys(ANTHROPIC_VARIABLES, root)
    if any(environ.get(name) for name in environ if name.lower() in ("http_proxy", "all_proxy")):
        excluded = next((environ[name] for name in _NO_PROXY if environ.get(name)), "")
        ours |= dict.fromkeys(_NO_PROXY, ",".join(filter(None, (excluded, *_LOOPBACK))))
    return {**environ, **ours}


def _from(variables: tuple[str, ...], environ: Mapping[str, str], default: str) -> str:
    return next((_checked(environ[name], name) for name in variables if environ.get(name)), default)


def _checked(url: str, origin: str) -> str:
    wrong = UsageError(f"{origin}: expected an address such as http://host:8000/v1, got {redacted_url(url)!r}")
    try:
        parts = urlsplit(url.strip())
        usable = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        raise wrong from None  # the cause quotes parts of the URL, which may include the password
    if parts.scheme not in ("http", "https") or not usable or parts.query or parts.fragment:
        raise wrong
    return parts.geturl().rstrip("/")
