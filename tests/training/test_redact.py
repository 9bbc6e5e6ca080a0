"""Redaction: what looks like a secret goes, the rest stays, and only rule names and counts remain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.session.formats.native import read_native
from memscope.session.nodes import Branch, Content, Memory, Session, ToolCall
from memscope.training.redact import RULES, Redactor
from tests.call_sessions import Exchange, call_session, message

KEY_BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"
TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("rule", "text", "redacted"),
    [
        ("private-key", f"here: {KEY_BLOCK} ok", "here: [redacted:private-key] ok"),
        ("private-key", "-----BEGIN PRIVATE KEY-----\ncut of", "[redacted:private-key]"),
        ("aws-key", "id AKIAIOSFODNN7EXAMPLE.", "id [redacted:aws-key]."),
        ("github-token", f"use {TOKEN}", "use [redacted:github-token]"),
        ("gitlab-token", "glpat-abcdefghij0123456789", "[redacted:gitlab-token]"),
        ("slack-token", "xoxb-123456789012-abcdef", "[redacted:slack-token]"),
        ("stripe-key", "sk_live_abcdefghijklmnop", "[redacted:stripe-key]"),
        ("model-api-key", "sk-proj-abcdefghijklmnopqrst", "[redacted:model-api-key]"),
        ("google-key", "AIza" + "x" * 35, "[redacted:google-key]"),
        ("package-token", "npm_" + "a" * 36, "[redacted:package-token]"),
        ("jwt", "eyJhbGciOi.eyJzdWIiOi.sig-nature", "[redacted:jwt]"),
        ("url-password", "postgres://app:hunter2@db:5432/x", "postgres://app:[redacted:url-password]@db:5432/x"),
        ("authorization", "Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer [redacted:authorization]"),
        ("assignment", "DB_PASSWORD=hunter2 make", "DB_PASSWORD=[redacted:assignment] make"),
        ("assignment", '{"api_key": "abc def"}', '{"api_key": "[redacted:assignment]"}'),
        ("assignment", "The password is swordfish today", "The password is [redacted:assignment] today"),
        ("assignment", "Its passwords: " + "x" * 3000 + ".", "Its passwords: [redacted:assignment]."),
        ("random-assignment", "cookie=a8Kd93jQz0PfLw72mXvT1", "cookie=[redacted:random-assignment]"),
    ],
)
def test_each_rule_replaces_its_secret_and_no_more(rule: str, text: str, redacted: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == redacted
    assert dict(redactor.counts) == {rule: 1}


def test_every_rule_is_tried_above() -> None:
    (mark,) = (m for m in test_each_rule_replaces_its_secret_and_no_more.pytestmark)  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    "text",
    [
        "Staging Postgres listens on port 7432.",
        "write to mira@example.com",
        "the secret is that we like it",
        "cache_key=session/database/staging/users",
        "a passwordless login",
        "https://example.com:8080/a@b",
        "token_count: 12",
        "git commit 3f786850e387550fdab836ed7e6dc881de23001b",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == text
    assert not redactor.counts


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = Redactor().text(text)
    again = Redactor()
    assert again.text(once) == once


def test_json_values_are_redacted_by_name_too() -> None:
    redactor = Redactor()
    value = {"password": "x", "db password": ["y"], "cmd": f"login {TOKEN}", "n": 3, "token": "", "none": None}
    assert redactor.value(value) == {
        "password": "[redacted:assignment]",
        "db password": ["y"],
        "cmd": "login [redacted:github-token]",
        "n": 3,
        "token": "",
        "none": None,
    }
    assert redactor.counts == {"assignment": 1, "github-token": 1}


def secretive_session() -> Session:
    return read_native(
        b'{"type":"session","version":1,"id":"s","title":"api_key=abc123"}\n'
        b'{"type":"memory","section":"identity","key":"password=one","text":"The password is one."}\n'
        b'{"type":"memory","section":"identity","key":"password=two","text":"The weather is fine."}\n'
        b'{"type":"branch","role":"user","children":[{"type":"content","text":"log in","token":"abc"}]}\n'
        b'{"type":"branch","role":"assistant","children":'
        b'[{"type":"tool_call","name":"sh","arguments":{"cmd":"mysql --password=one"}}]}\n',
        "s.jsonl",
    )


def test_a_session_keeps_its_shape_and_its_memories_apart() -> None:
    session = secretive_session()
    redactor = Redactor()
    redacted = redactor.session(session)
    assert [type(node) for node in redacted.nodes] == [type(node) for node in session.nodes]
    assert redacted.header.title == "api_key=[redacted:assignment]"
    assert redacted.memory_keys() == ("password=[redacted:assignment]", "password=[redacted:assignment]-2")
    first = redacted.nodes[0]
    assert isinstance(first, Memory)
    assert first.text == "The password is [redacted:assignment]."
    user, assistant = redacted.nodes[2:]
    assert isinstance(user, Branch)
    assert isinstance(assistant, Branch)
    assert user.children[0].extra == {"token": "[redacted:assignment]"}
    call = assistant.children[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == {"cmd": "mysql --password=[redacted:assignment]"}


def test_exact_ids_do_not_outlive_the_secret_in_their_text() -> None:
    said = {"type": "tokens", "ids": [7, 8], "text": "The password is one."}
    unsaid, harmless = {"type": "tokens", "ids": [1, 2]}, {"type": "tokens", "ids": [3]}
    raw = Exchange([message("prompt", said, unsaid)], message("completion", harmless))
    redactor = Redactor({(1, 2): "password=two", (3,): "fine"}.__getitem__)
    prompt, response = redactor.session(call_session([raw])).nodes
    assert isinstance(prompt, Branch)
    assert isinstance(response, Branch)
    assert prompt.children == (
        Content(text="The password is [redacted:assignment]."),
        Content(text="password=[redacted:assignment]"),
    )
    assert response.children == (Content(text="", token_ids=(3,)),)


def test_nothing_that_is_stored_contains_a_secret() -> None:
    redactor = Redactor()
    redactor.session(secretive_session())
    assert set(redactor.counts) <= {rule.name for rule in RULES}


@pytest.mark.parametrize(
    "piece", ["password ", "key_", "://", "eyJ.", "-----BEGIN PRIVATE KEY-----", "token=", "a", "'"]
)
def test_a_long_repetitive_text_is_no_trap(piece: str) -> None:
    assert Redactor().text(piece * 20_000) is not None
