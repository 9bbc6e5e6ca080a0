"""Where every option comes from: flag, then `MEMSCOPE_*` variable, then the configuration file, then the default.

Each field of `Config` is one option. Its key in the file, its variable and its flag have the same name, so adding an
option means adding a field here (and an argument in `memscope.cli`, where it is offered as a flag).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from memscope.errors import ConfigError
from memscope.secret import redacted_url

__all__ = ["Config", "TemplateChoice", "config_path", "load_config", "state_folder"]

TemplateChoice: TypeAlias = Literal["auto", "chatml", "own"]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All options, resolved."""

    url: str | None = None
    """OpenAI-style base address of a scorer, `http://host:8000/v1`; None starts the embedded one."""

    model: str | None = None
    """A served name; with no `url` a local folder or hub name for the embedded scorer; None is the bundled one."""

    tokenizer: str | None = None
    """Folder or hub name of the tokenizer, for servers that do not hand out theirs."""

    api_key_env: str = "MEMSCOPE_API_KEY"
    """Name of the variable that holds the scorer's API key."""

    dialect: str = "auto"
    """How to ask the scorer: "auto" tries, "score" or "prompt_logprobs" insists."""

    template: TemplateChoice = "auto"
    """How sessions become token ids: "chatml", the model's "own" chat template, or "auto", which decides by session."""

    threshold: float | None = None
    """Divergence in nats from which a response is a candidate for training; None is the last one set on the screen."""

    rules: tuple[str, ...] | None = None
    """Detector rules that look for memories in chat messages; None is all of them."""

    memory_regex: str | None = None
    """A pattern with the named groups `key` and `text` that marks memories in chat messages."""

    agent: str | None = None
    """Whose memories a session holds, for `memscope importance`; None is what the session's header or file says."""

    state: str | None = None
    """Folder of the state database and logs; None is the platform's."""

    theme: str = "textual-dark"
    """Name of the screen's theme."""

    keymap: Mapping[str, str] = {}
    """Key bindings by binding id, as Textual's keymap: `{"sort": "f3"}`."""

    debug: bool = False
    """Write the debug log in full, session text included."""

    def state_folder(self) -> Path:
        """Return the folder for state; it is not created here."""
        return state_folder(self.state)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the options as they may be shown: without the password in the address."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        return list((shown | {"url": redacted_url(self.url) if self.url else None}).items())

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def state_folder(override: str | None = None) -> Path:
    """Return the folder where memscope keeps its database and logs."""
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_state_path("memscope")


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration file is looked for: `MEMSCOPE_CONFIG`, else the platform's place."""
    if named := environ.get("MEMSCOPE_CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_config_path("memscope") / "config.toml"


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """Resolve every option.

    Args:
        flags: What the command line gave, by field name; None means not given.
        environ: The environment; the process's own by default.

    Raises:
        ConfigError: A value cannot be used; the line says where it came from and what was expected.
    """
    environ = os.environ if environ is None else environ
    path = config_path(environ)
    merged: dict[str, Any] = {}
    for origin, values in (
        (str(path), _from_file(path, named="MEMSCOPE_CONFIG" in environ)),
        ("the environment", _from_environment(environ)),
        ("the command line", {k: v for k, v in flags.items() if v is not None}),
    ):
        for key, value in values.items():
            merged[key] = _checked(key, value, origin)
    return Config(**merged)


def _from_file(path: Path, *, named: bool) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named:
            raise ConfigError(f"{path}: no such file, but MEMSCOPE_CONFIG names it") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name in Config.__struct_fields__:
        value = environ.get(f"MEMSCOPE_{name.upper()}")
        if value:
            found[name] = _split(name, value)
    return found


def _split(name: str, value: str) -> Any:
    if name == "rules":
        return [part.strip() for part in value.split(",") if part.strip()]
    if name == "keymap":
        parts = [part for part in value.split(";") if part.strip()]
        if wrong := [part for part in parts if "=" not in part]:
            raise ConfigError(f"MEMSCOPE_KEYMAP: expected binding=key;binding=key, got {wrong[0]!r}")
        return dict(part.split("=", 1) for part in parts)
    if name == "debug":
        return {"0": False, "1": True}.get(value, value)
    return value


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Config)}


def _checked(key: str, value: Any, origin: str) -> Any:
    if key not in _TYPES:
        near = difflib.get_close_matches(key, _TYPES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_TYPES)}"
        raise ConfigError(f"{origin}: unknown option {key!r}{hint}")
    if get_origin(_TYPES[key]) is Literal and value not in (choices := get_args(_TYPES[key])):
        raise ConfigError(f"{origin}: option {key!r}: expected one of {', '.join(choices)}, got {value!r}")
    try:
        checked = msgspec.convert(value, _TYPES[key], strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: option {key!r}: {error}, got {value!r}") from error
    if key == "threshold" and not (checked is not None and 0 <= checked < float("inf")):
        raise ConfigError(f"{origin}: option 'threshold': expected nats >= 0, got {value!r}")
    return checked
