"""Advice about a session that cannot be scored, with commands that repeat the options that were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memscope.config import Config, load_config
from memscope.secret import redacted_url
from memscope.session.advice import GivenOptions, advice
from memscope.session.nodes import Session

__all__ = ["advice_for", "given_options"]

_READING = {
    "source_format": "--from",
    "project": "--project",
    "pick": "--pick",
    "rules": "--rules",
    "memory_regex": "--memory-regex",
}
"""The options that decide how a session file is read, by their fields."""

_OTHERS = {
    "url": "--url",
    "model": "--model",
    "tokenizer": "--tokenizer",
    "api_key_env": "--api-key-env",
    "dialect": "--dialect",
    "template": "--template",
    "threshold": "--threshold",
    "state": "--state",
    "theme": "--theme",
    "debug": "--debug",
}
"""The options of the scorer, the state and the screen, by their fields."""


def advice_for(session: Session, config: Config) -> tuple[str, ...]:
    """Return what to do about a session, line by line; nothing if it can be scored.

    Raises:
        ConfigError: The environment or the configuration file is invalid.
    """
    return advice(session, given_options(config))


def given_options(config: Config) -> GivenOptions:
    """Return the options of the command line.

    Those of the environment and the configuration file hold for a suggested command too.

    Raises:
        ConfigError: The environment or the configuration file is invalid.
    """
    elsewhere = load_config({})
    return GivenOptions(tuple(_given(config, elsewhere, _READING)), tuple(_given(config, elsewhere, _OTHERS)))


def _given(config: Config, elsewhere: Config, options: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for name, option in options.items():
        value = getattr(config, name)
        if value != getattr(elsewhere, name):
            yield (option,) if value is True else (option, _word(name, value))


def _word(name: str, value: Any) -> str:
    if name == "url":
        return redacted_url(value)
    return ",".join(value) if isinstance(value, tuple) else str(value)
