"""Where calls are forwarded: the URL that the agent would have called without the proxy."""

from __future__ import annotations

import pytest

from memscope.errors import UsageError
from memscope.record.child import describe_command
from memscope.record.upstream import choose_upstream, is_anthropic, proxy_variables

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@pytest.mark.parametrize(
    ("to", "environ", "path", "url"),
    [
        (None, {}, CHAT, "https://api.openai.com/v1/chat/completions"),
        (None, {}, MESSAGES, "https://api.anthropic.com/v1/messages"),
        (None, {"OPENAI_BASE_URL": "http://h:1/v1/"}, CHAT, "http://h:1/v1/chat/completions"),
        (None, {"OPENAI_BASE_URL": "", "OPENAI_API_BASE": "http://h:1/v1"}, CHAT, "http://h:1/v1/chat/completions"),
        (None, {"OPENAI_BASE_URL": "https://h/api/v2"}, CHAT, "https://h/api/v2/chat/completions"),
        (None, {"OPENAI_BASE_URL": "http://h:1/v1"}, MESSAGES, "https://api.anthropic.com/v1/messages"),
        (None, {"ANTHROPIC_BASE_URL": "https://h/anthropic"}, MESSAGES, "https://h/anthropic/v1/messages"),
        ("http://h:8000/v1", {"OPENAI_BASE_URL": "http://other"}, CHAT, "http://h:8000/v1/chat/completions"),
        ("http://h:8000", {}, CHAT, "http://h:8000/v1/chat/completions"),
        ("http://h:8000/v1", {}, MESSAGES, "http://h:8000/v1/messages"),
        ("http://h:8000/v1", {}, "/health", "http://h:8000/health"),
        ("http://h:8000/v1", {}, "/v1", "http://h:8000/v1"),
        ("http://h:8000/v1", {}, "/v10/x", "http://h:8000/v10/x"),
        ("http://[::1]:8000/v1", {}, CHAT, "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_a_path_on_the_proxy_stands_for_the_url_that_it_replaces(
    to: str | None, environ: dict[str, str], path: str, url: str
) -> None:
    asked = path.encode()
    assert choose_upstream(to, environ).url(asked, anthropic=is_anthropic(asked, {})) == url


def test_a_request_with_anthropics_version_goes_to_anthropic_whatever_its_path() -> None:
    assert is_anthropic(b"/v1/models", {b"anthropic-version": b"2023-06-01"})
    assert not is_anthropic(b"/v1/models", {})


@pytest.mark.parametrize(
    "url", ["h:8000", "ftp://h", "http://", "http://h:0", "http://h:x", "http://h/v1?key=1", "/v1"]
)
def test_an_address_that_is_none_is_refused_by_its_origin(url: str) -> None:
    with pytest.raises(UsageError, match=r"^--to: expected an address such as http://host:8000/v1"):
        choose_upstream(url, {})
    with pytest.raises(UsageError, match=r"^OPENAI_API_BASE: expected"):
        choose_upstream(None, {"OPENAI_API_BASE": url})


@pytest.mark.parametrize("to", ["http://127.0.0.1:9000/v1", "http://localhost:9000"])
def test_the_proxy_does_not_forward_to_itself(to: str) -> None:
    with pytest.raises(UsageError, match="forwarded to the recorder itself"):
        choose_upstream(to, {}).reject_port(9000)
    choose_upstream(to, {}).reject_port(9001)


def test_an_environment_without_an_http_proxy_gets_the_addresses_alone() -> None:
    assert proxy_variables(9000, {"PATH": "/bin"}) == {
        "PATH": "/bin",
        "OPENAI_BASE_URL": "http://127.0.0.1:9000/v1",
        "OPENAI_API_BASE": "http://127.0.0.1:9000/v1",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9000",
    }


def test_a_command_is_described_without_its_arguments() -> None:
    assert describe_command(["/usr/bin/python", __file__, "--key", "hidden"]) == f"python {__file__}"
    assert describe_command(["env", "KEY=hidden", "agent"]) == "env"
    assert describe_command([]) == ""
