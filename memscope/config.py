"""Options and their precedence: flag, `MEMSCOPE_*` variable, configuration file, default.

Each field of `Config` is one option. Its key in the file, its variable and its flag share one name, so adding an
option means adding a field here (and an argument in `memscope.commands.parsers`, where it is a flag).
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from memscope.errors import ConfigError, UsageError
from memscope.secret import redacted_url

__all__ = ["Config", "TemplateChoice", "config_path", "load_config", "recordings_folder", "state_folder"]

TemplateChoice: TypeAlias = Literal["auto", "chatml", "own"]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All options, resolved."""

    url: str | None = None
    """OpenAI-style base URL of a scorer, `http://host:8000/v1`; None starts the embedded scorer."""

    model: str | None = None
    """A served model name; without `url`, a local folder or hub name; None for the bundled model."""

    tokenizer: str | None = None
    """Folder or hub name of the tokenizer, for servers that do not provide one."""

    api_key_env: str = "MEMSCOPE_API_KEY"
    """Name of the variable that holds the scorer's API key."""

    dialect: str = "auto"
    """Scoring protocol: "auto" tries each, "score" and "prompt_logprobs" force one."""

    template: TemplateChoice = "auto"
    """How sessions are rendered: "chatml", the model's "own" chat template, or "auto", which depends on the session."""

    threshold: float | None = None
    """Minimum divergence of a candidate, in nats; None for the threshold last set on the screen."""

    rules: tuple[str, ...] | None = None
    """Memory rules applied to the texts of a session; None for all but `paragraphs` and `search-results`."""

    memory_regex: str | None = None
    """A regular expression whose matches are memories, with optional groups `key`, `text`, `memory`, `items`."""

    source_format: str | None = None
    """Name of the session file's format, `--from`; None determines it from the content."""

    project: str | None = None
    """Folder of the project, to read memory files from that an agent's transcript lacks."""

    pick: str | None = None
    """Id of the conversation to read from a file that holds several, such as the samples of an evaluation log."""

    follow: bool = False
    """Show a session file, by default the newest recording, while another process appends to it."""

    read_only: bool | None = None
    """Send nothing to training and change nothing that is stored; None means if and only if a session is followed."""

    agent: str | None = None
    """Agent that the memories belong to, for `memscope importance`; None uses the session header or file name."""

    state: str | None = None
    """Folder of the state database, logs and recordings; None for the platform's defaults."""

    record_to: str | None = None
    """Base URL that `memscope record` forwards to; None for where the agent would have sent its calls."""

    record_port: int = 0
    """Port that `memscope record` listens on; 0 for any free one."""

    theme: str = "textual-dark"
    """Theme of the screen."""

    keymap: Mapping[str, str] = {}
    """Keys by binding id, as in Textual's keymap: `{"sort": "f3"}`."""

    debug: bool = False
    """Include session text in the debug log."""

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be sent to training or changed."""
        return self.follow if self.read_only is None else self.read_only

    def require_writable(self) -> None:
        """Check that sending and changing is allowed.

        Raises:
            UsageError: Everything is read-only.
        """
        if self.is_read_only:
            raise UsageError("read-only: nothing is sent to training or changed; --no-read-only allows it")

    def state_folder(self) -> Path:
        """Return the state folder, without creating it."""
        return state_folder(self.state)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the options for display, without the passwords in URLs."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        urls = {name: redacted_url(shown[name]) for name in ("url", "record_to") if shown[name]}
        return list((shown | urls).items())

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def state_folder(override: str | None = None) -> Path:
    """Return the folder where memscope keeps its database and logs."""
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_state_path("memscope")


def recordings_folder(config: Config) -> Path:
    """Return the folder where `memscope record` keeps recordings, without creating it.

    They are the user's data rather than state that can be computed again, so the default is the data folder.
    """
    if config.state:
        return state_folder(config.state) / "recordings"
    import platformdirs

    return platformdirs.user_data_path("memscope") / "recordings"


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the configuration file: `MEMSCOPE_CONFIG`, or else the platform's default."""
    if named := environ.get("MEMSCOPE_CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_config_path("memscope") / "config.toml"


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """Resolve every option.

    Args:
        flags: Values from the command line by field name; None means not given.
        environ: The environment; `os.environ` by default.

    Raises:
        ConfigError: A value is invalid; the message says where it came from and what was expected.
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
            raise ConfigError(f"{path}: no such file (named by MEMSCOPE_CONFIG)") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: invalid TOML: {error}") from error


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
    if name in ("debug", "follow", "read_only"):
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
    if key == "record_port" and not 0 <= checked <= 65535:
        raise ConfigError(f"{origin}: option 'record_port': expected a port from 0 to 65535, got {value!r}")
    if key == "threshold" and not (checked is not None and 0 <= checked < float("inf")):
        raise ConfigError(f"{origin}: option 'threshold': expected nats >= 0, got {value!r}")
    return checked
