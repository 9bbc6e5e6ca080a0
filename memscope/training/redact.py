"""Best-effort redaction of secrets in exports.

A rule knows the shape of a secret, not the secret itself. Matches are only counted by rule; their text is never kept,
returned or put into a message. Redaction works on a copy of the session, so that token ids are made from the redacted
text; divergences are measured on the original.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from memscope.session.nodes import Branch, Content, Leaf, Memory, Node, Opaque, Session, ToolCall

__all__ = ["RULES", "Redactor"]

_STRICT_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|(?:api|access|private|secret|auth|encryption|signing)[ _-]?key"
    r"|(?:access|auth|api|refresh|session|bearer|bot|id)[ _-]?token|client[ _-]?secret|connection[ _-]?string)s?"
)
_ANY_NAME = rf"(?:{_STRICT_NAME}|secrets?|credentials?)"
_ENTROPY_BITS = 3.5
"""Bits per character: words and paths are mostly below, random base64 or hexadecimal text of 20 characters above."""


def _always(_match: re.Match[str]) -> bool:
    return True


def _looks_random(match: re.Match[str]) -> bool:
    value = match["secret"]
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and bits >= _ENTROPY_BITS


@dataclass(frozen=True, slots=True)
class RedactionRule:
    """A pattern of secrets.

    Attributes:
        name: Its name in reports.
        pattern: The regular expression; its group `secret` is replaced, or else the whole match.
        accepts: Additional check of a match.
    """

    name: str
    pattern: re.Pattern[str]
    accepts: Callable[[re.Match[str]], bool] = _always


def _rule(name: str, pattern: str, flags: int = 0) -> RedactionRule:
    return RedactionRule(name, re.compile(pattern, flags))


RULES: tuple[RedactionRule, ...] = (
    _rule(
        "private-key",
        r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=kind)-----|\Z)",
        re.DOTALL,
    ),
    _rule("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _rule("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{30,255})\b"),
    _rule("gitlab-token", r"\bgl(?:pat|ptt|rt|dt|cbt|soat)-[A-Za-z0-9_-]{20,}"),
    _rule(
        "slack-token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|https://hooks\.slack\.com/(?:services|workflows)/[\w/]{20,}"
    ),
    _rule("stripe-key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
    _rule("model-api-key", r"\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}\b"),
    _rule("google-key", r"\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9_-]{20,}"),
    _rule("package-token", r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})"),
    _rule("jwt", r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*"),
    _rule("url-password", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@]{0,100}:(?P<secret>[^\s/?#@]{1,200})@", re.IGNORECASE),
    _rule(
        "authorization",
        r"\b(?:bearer|authorization['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:basic|token))\s{1,3}(?P<secret>[\w.~+/=-]{8,})",
        re.IGNORECASE,
    ),
    _rule(
        "assignment",
        rf"(?<![A-Za-z])(?:{_ANY_NAME}['\"]?\s{{0,3}}(?:=>|:=|[:=])|{_STRICT_NAME}\s{{1,3}}is\s)\s{{0,3}}"
        r"(?:(?P<quote>['\"`])(?P<quoted>[^'\"`\n]+)(?P=quote)|(?P<bare>(?!\[redacted:)[^\s'\"`,;]{2,}[^\s'\"`,;.]))",
        re.IGNORECASE,
    ),
    RedactionRule(
        "random-assignment",
        re.compile(
            r"(?:key|token|secret|auth|credential|cookie)\w{0,20}['\"]?\s{0,3}(?:=>|:=|[:=])\s{0,3}['\"`]?"
            r"(?P<secret>[A-Za-z0-9+/_=-]{20,})",
            re.IGNORECASE,
        ),
        _looks_random,
    ),
)
"""Tried in this order; later rules skip what earlier ones replaced. E-mail addresses are not considered secrets."""

_GROUPS = ("secret", "quoted", "bare")
_SECRET_FIELD = re.compile(rf"(?:[a-z0-9]+[ _-])*{_ANY_NAME}|token|authorization", re.IGNORECASE)


class Redactor:
    """Replaces secrets with `[redacted:RULE]` and counts them.

    Attributes:
        counts: Number of replaced secrets by rule.
    """

    def __init__(self, decode: Callable[[tuple[int, ...]], str] = lambda _: "") -> None:
        """Create a redactor.

        Args:
            decode: Returns the text of token ids, to look into a completion's ids that were recorded without it.
        """
        self.counts: Counter[str] = Counter()
        self._decode = decode
        self._keys: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return a text with secrets replaced."""
        for rule in RULES:
            text = rule.pattern.sub(lambda match, rule=rule: self._replaced(rule, match), text)  # type: ignore[misc]
        return text

    def value(self, value: Any) -> Any:
        """Return a JSON value with every string redacted; strings in fields such as "password" are replaced whole."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self._field(str(name), item) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value

    def session(self, session: Session) -> Session:
        """Return a copy of a session with every text redacted, including memory keys, which may be made from text."""
        header = msgspec.structs.replace(session.header, title=self.text(session.header.title))
        # Calls that share a node must share it afterwards too.
        redacted = {id(node): self._node(node) for node in session.nodes}
        nodes = tuple(redacted[id(node)] for node in session.nodes)
        tools = tuple(map(self.value, session.tools))
        calls = tuple(
            msgspec.structs.replace(call, tools=tuple(map(self.value, call.tools)), extra=self.value(call.extra))
            for call in session.calls
        )
        return msgspec.structs.replace(session, header=header, nodes=nodes, tools=tools, calls=calls)

    def key(self, key: str) -> str:
        """Return a redacted memory key: the same key gives the same result, different keys different results."""
        if key not in self._keys:
            redacted = name = self.text(key)
            taken = self._keys.values()
            number = 1
            while name in taken:
                number += 1
                name = f"{redacted}-{number}"
            self._keys[key] = name
        return self._keys[key]

    def _replaced(self, rule: RedactionRule, match: re.Match[str]) -> str:
        if not rule.accepts(match):
            return match.group()
        self.counts[rule.name] += 1
        name = next((name for name in _GROUPS if match.groupdict().get(name) is not None), 0)
        start, end = match.start(name) - match.start(), match.end(name) - match.start()
        return f"{match.group()[:start]}[redacted:{rule.name}]{match.group()[end:]}"

    def _field(self, name: str, item: Any) -> Any:
        if isinstance(item, str) and item and _SECRET_FIELD.fullmatch(name):
            self.counts["assignment"] += 1
            return "[redacted:assignment]"
        return self.value(item)

    def _node(self, node: Node) -> Node:
        if not isinstance(node, Branch):
            return self._leaf(node)
        leaves = tuple(self._leaf(leaf) for leaf in node.children)
        return msgspec.structs.replace(node, children=leaves, extra=self.value(node.extra))

    def _leaf(self, leaf: Leaf) -> Leaf:
        extra = self.value(leaf.extra)
        if isinstance(leaf, ToolCall):
            return msgspec.structs.replace(leaf, arguments=self.value(leaf.arguments), extra=extra)
        if isinstance(leaf, Opaque):
            return msgspec.structs.replace(leaf, extra=extra)
        if isinstance(leaf, Content) and leaf.token_ids is not None:
            return self._tokens(leaf, leaf.text or self._decode(leaf.token_ids), extra)
        text = self.text(leaf.text)
        if isinstance(leaf, Memory):
            return msgspec.structs.replace(leaf, text=text, key=self.key(leaf.key), extra=extra)
        return msgspec.structs.replace(leaf, text=text, extra=extra)

    def _tokens(self, leaf: Content, text: str, extra: Any) -> Content:
        """Return exact ids as they are, or instead of ids that contain a secret the redacted text."""
        redacted = self.text(text)
        if redacted == text:
            return msgspec.structs.replace(leaf, extra=extra)
        return msgspec.structs.replace(leaf, text=redacted, token_ids=None, extra=extra)
