"""Options come from flag, variable, file and default, in this order."""

import sys
from pathlib import Path

import pytest

from memscope.config import Config, load_config, recordings_folder
from memscope.errors import ConfigError


def environment(tmp_path: Path, text: str = "", **variables: str) -> dict[str, str]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return {"MEMSCOPE_CONFIG": str(path), **variables}


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    env = environment(tmp_path, 'threshold = 2.0\nmodel = "file"\n', MEMSCOPE_THRESHOLD="3")
    assert load_config({}, {"MEMSCOPE_CONFIG": env["MEMSCOPE_CONFIG"]}).threshold == 2.0
    assert load_config({}, env).threshold == 3.0
    config = load_config({"threshold": 4.0, "url": None}, env)
    assert (config.threshold, config.model, config.url) == (4.0, "file", None)


def test_every_option_has_a_variable(tmp_path: Path) -> None:
    given = {
        "url": "http://h:1/v1",
        "model": "m",
        "tokenizer": "t",
        "api_key_env": "KEY",
        "dialect": "score",
        "template": "own",
        "threshold": "0.5",
        "rules": "tags, mem0",
        "memory_regex": "x",
        "source_format": "codex",
        "project": "/somewhere/else",
        "pick": "sample 3",
        "agent": "mira",
        "state": "/somewhere",
        "record_to": "http://h:2/v1",
        "record_port": "9000",
        "follow": "1",
        "read_only": "0",
        "theme": "nord",
        "keymap": "sort=f3;quit=f10",
        "debug": "1",
    }
    assert set(given) == set(Config.__struct_fields__)
    config = load_config({}, environment(tmp_path, **{f"MEMSCOPE_{k.upper()}": v for k, v in given.items()}))
    assert config.threshold == 0.5
    assert config.rules == ("tags", "mem0")
    assert config.keymap == {"sort": "f3", "quit": "f10"}
    assert config.debug is True
    assert (config.follow, config.read_only) == (True, False)
    assert config.state_folder() == Path("/somewhere")
    assert config.record_port == 9000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("treshold = 1", "did you mean 'threshold'"),
        ("zzz = 1", "known: url, model"),
        ('threshold = "much"', "option 'threshold'"),
        ('template = "qwen"', "option 'template': expected one of auto, chatml, own, got 'qwen'"),
        ("threshold = -1", "expected nats >= 0"),
        ("record_port = 65536", "expected a port from 0 to 65535"),
        ("url = 3", "option 'url'"),
        ("= 1", "invalid TOML"),
        ("a = " + "[" * 50_000, "invalid TOML"),
        ("threshold = " + "9" * 6_000, "invalid TOML"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config({}, environment(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "config.toml"))


def test_a_keymap_variable_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MEMSCOPE_KEYMAP: expected binding=key"):
        load_config({}, environment(tmp_path, MEMSCOPE_KEYMAP="x"))


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config({}, {"MEMSCOPE_CONFIG": str(tmp_path / "none.toml")})


def test_recordings_are_in_the_state_folder_if_one_is_given() -> None:
    assert recordings_folder(Config(state="/somewhere")) == Path("/somewhere/recordings")


def test_recordings_are_in_the_data_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert recordings_folder(Config()).name == "recordings"
    if sys.platform == "linux":
        assert recordings_folder(Config()) == Path("/data/memscope/recordings")
