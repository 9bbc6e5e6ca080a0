"""Suggested commands repeat what was given on the command line, and nothing else."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import pytest

from memscope.cli import main
from memscope.commands.advising import advice_for, given_options
from memscope.commands.parsers.common import add_common, configured
from memscope.session.load import load_session

PLAIN = [{"role": "system", "content": "Stored:\n- Likes tea\n"}, {"role": "assistant", "content": "Tea."}]


def given(*words: str) -> list[str]:
    """Return what is repeated of a command line."""
    parser = argparse.ArgumentParser()
    add_common(parser)
    options = given_options(configured(parser.parse_args(words)))
    return [word for option in (*options.reading, *options.others) for word in option]


EVERY_OPTION = [
    *("--from", "chat", "--project", "/a b", "--pick", "7", "--rules", "tags,mem0", "--memory-regex", "^x"),
    *("--url", "http://h:1/v1", "--model", "m", "--tokenizer", "t", "--api-key-env", "KEY", "--dialect", "score"),
    *("--template", "own", "--threshold", "2.5", "--state", "/s", "--theme", "nord", "--debug"),
]


def test_every_common_option_is_repeated() -> None:
    assert given(*EVERY_OPTION) == EVERY_OPTION
    parser = argparse.ArgumentParser(add_help=False)
    add_common(parser)
    assert {action.option_strings[0] for action in parser._actions} == {
        word for word in EVERY_OPTION if word.startswith("--")
    }


def test_what_the_environment_says_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMSCOPE_URL", "http://h:1/v1")
    assert given("--model", "m") == ["--model", "m"]


def test_a_password_is_not_repeated() -> None:
    assert given("--url", "http://mira:hunter2@h:1/v1") == ["--url", "http://***@h:1/v1"]


def test_a_suggestion_has_the_options_and_replaces_the_pattern_that_found_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps(PLAIN))
    options = ["--url", "http://127.0.0.1:8700/v1", "--state", str(tmp_path), "--memory-regex", "^nothing"]
    assert main(["score", str(chat), *options]) == 1
    lines = map(str.strip, capsys.readouterr().err.splitlines())
    commands = [shlex.split(line) for line in lines if line.startswith("memscope ")]
    by_pattern = next(command for command in commands if command[-2] == "--memory-regex")
    assert by_pattern[:-2] == ["memscope", str(chat), *options[:4]]
    assert ["memscope", str(chat), *options[-2:], *options[:4], "--rules", "paragraphs"] in commands


def test_the_command_that_converts_takes_only_the_options_of_reading(tmp_path: Path) -> None:
    file = tmp_path / "session.jsonl"
    rows = [
        {"sessionId": "s", "projectHash": "p", "startTime": "2026-11-20T10:00:00Z", "kind": "main"},
        {"id": "1", "timestamp": "2026-11-20T10:00:00Z", "type": "user", "content": [{"text": "Hi"}]},
        {"id": "2", "timestamp": "2026-11-20T10:00:01Z", "type": "gemini", "content": "Hello", "model": "g"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    parser = argparse.ArgumentParser()
    add_common(parser)
    config = configured(parser.parse_args(["--from", "gemini-cli", "--model", "m"]))
    (line,) = [one for one in advice_for(load_session(file), config) if "convert" in one]
    assert f"(memscope convert {file} --from gemini-cli -o session.jsonl)" in line
