"""The command line: what it prints, and with which status it ends."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memscope import __version__
from memscope.cli import main
from memscope.config import Config
from tests.conftest import ScorerAddress


def run(*arguments: str) -> int:
    return main(arguments)


@pytest.fixture
def there(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Point the commands to the shared scorer by variables, as a user would."""
    assert config.url is not None
    assert config.state is not None
    monkeypatch.setenv("MEMSCOPE_URL", config.url)
    monkeypatch.setenv("MEMSCOPE_STATE", config.state)
    return config


@pytest.mark.usefixtures("there")
def test_the_json_is_as_specified(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score", str(small_file), "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["memscope"] == 1
    assert report["session"] == {
        "id": "small",
        "title": "a small session",
        "template": "chatml",
        "context": "whole context",
    }
    assert {"kind", "model", "dtype", "weights"} <= set(report["scorer"])
    assert [m["key"] for m in report["memories"]] == ["db/port", "mira/room", "retro/time"]
    assert [m["section"] for m in report["memories"]] == ["identity", "identity", "conversation"]
    assert {"key", "section", "tokens", "importance", "max", "status"} <= set(report["memories"][0])
    assert [r["index"] for r in report["responses"]] == [0, 1, 2]
    assert [r["entry_index"] for r in report["responses"]] == [1, 5, 7]
    assert {"tokens", "logprob", "dependence", "preview"} <= set(report["responses"][0])
    assert report["divergence"][2][0] == 0
    assert report["divergence"][0][0] > 3
    assert report["responses"][0]["logprob"] < 0
    assert set(report["cost"]) == {"calls", "tokens_naive", "tokens_forwarded", "seconds"}
    assert report["noise_floor"] >= 0
    column = [max(0.0, row[0]) for row in report["divergence"]]
    assert report["responses"][0]["dependence"] == pytest.approx(sum(column))


@pytest.mark.usefixtures("there")
def test_the_template_is_chosen_by_flag_and_by_variable(
    small_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score", str(small_file), "--format", "json", "--template", "own") == 0
    by_flag = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("MEMSCOPE_TEMPLATE", "own")
    assert run("score", str(small_file), "--format", "json") == 0
    by_variable = json.loads(capsys.readouterr().out)
    assert by_flag["session"]["template"] == by_variable["session"]["template"] == "own"
    assert by_flag["divergence"] == by_variable["divergence"]


@pytest.mark.usefixtures("there")
def test_csv_and_table_hold_the_same_numbers(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score", str(small_file), "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert run("score", str(small_file), "--format", "csv") == 0
    header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header[-3:] == ["0", "1", "2"]
    assert [[float(v) for v in row[-3:]] for row in rows] == report["divergence"]
    assert run("score", str(small_file)) == 0
    table = capsys.readouterr().out
    assert f"{report['divergence'][0][0]:.2f}" in table
    assert "3 memories x 3 responses" in table


@pytest.mark.usefixtures("there")
def test_without_a_terminal_the_screen_is_a_plain_table(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(small_file)) == 0
    assert "db/port" in capsys.readouterr().out


@pytest.mark.usefixtures("there")
def test_doctor_describes_the_scorer_and_what_was_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(
        json.dumps(
            [
                {"role": "user", "content": '<memory key="user/tea">likes tea</memory>\nWhat do I drink?'},
                {"role": "assistant", "content": "Tea."},
            ]
        )
    )
    assert run("doctor", str(chat), "--format", "json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["session"]["recognised"] == {"tags": ["user/tea"]}
    assert findings["session"]["responses"] == 1
    assert findings["scorer"]["dialect"] == "score"
    assert findings["scorer"]["template"] == "own"
    assert run("doctor", str(chat), "--template", "chatml") == 0
    assert "  rendered: as ChatML\n" in capsys.readouterr().out
    assert run("doctor", str(chat)) == 0
    shown = capsys.readouterr().out
    assert "  asked: http://127.0.0.1:" in shown
    assert "  rendered: with the model's own chat template\n" in shown
    assert "tags: user/tea" in shown
    assert 'tags in node 0: user/tea: <memory key="user/tea">likes tea</memory>' in shown


@pytest.mark.usefixtures("there")
def test_a_session_without_memories_says_what_would_find_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(
        json.dumps([{"role": "system", "content": "Stored:\n- likes tea\n"}, {"role": "assistant", "content": "Tea."}])
    )
    command = rf"    memscope {chat} --memory-regex '^Stored:\n+(?P<items>.+)'"
    assert run("score", str(chat)) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"memscope: {chat}: no memories found: nothing to leave out\n  the file was read as chat\n")
    assert f"{command}\n" in error
    assert run("doctor", str(chat)) == 1
    assert f"{command}\n" in capsys.readouterr().out
    arguments = shlex.split(command)
    assert run(*arguments[1:]) == 0
    assert "likes-tea" in capsys.readouterr().out


BAD_FILES = {
    "missing": (None, "no such file"),
    "empty": (b"", ": empty, expected"),
    "binary": (b"\x7fELF\0\0\1\2", ": binary, expected"),
    "bad json": (b'{"type":"session","version":1,"id":"a"}\n{"type":\n', ":2: not JSON"),
    "unknown type": (b'{"type":"session","version":1,"id":"a"}\n{"type":"dream"}\n', ":2: field 'type'"),
    "no memories": (
        (
            b'{"type":"session","version":1,"id":"a"}\n'
            b'{"type":"branch","role":"assistant","children":[{"type":"content","text":"x"}]}\n'
        ),
        "no memories",
    ),
    "no responses": (
        b'{"type":"session","version":1,"id":"a"}\n{"type":"memory","key":"k","text":"x"}\n',
        "no responses",
    ),
    "empty key": (
        b'{"type":"session","version":1,"id":"a"}\n{"type":"memory","key":"","text":"x"}\n',
        ":2: field 'key': expected a non-empty string",
    ),
}


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_clear_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = BAD_FILES[name]
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert run("score", str(path)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    line, *advice = captured.err.strip().split("\n")
    assert all(further.startswith("  ") for further in advice)
    assert line.startswith(f"memscope: {path}")
    assert words in line


@pytest.mark.usefixtures("there")
def test_a_directory_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score", str(tmp_path)) == 1
    assert ": a directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["score"], ["doctor"]])
def test_an_empty_file_name_is_usage_and_not_the_demo(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*command, "")
    assert ended.value.code == 2
    assert "SESSION: the file name is empty" in capsys.readouterr().err


def test_a_wrong_flag_or_value_is_usage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as ended:
        run("score", "--no-such-flag")
    assert ended.value.code == 2
    monkeypatch.setenv("MEMSCOPE_THRESHOLD", "much")
    assert run("score") == 2
    assert "option 'threshold'" in capsys.readouterr().err


def test_a_server_that_is_down_is_one_clear_line(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score", str(small_file), "--url", "http://127.0.0.1:9/v1", "--state", str(tmp_path / "s")) == 1
    assert capsys.readouterr().err.strip().endswith("no scorer responds (All connection attempts failed)")


def test_a_model_folder_without_weights_is_one_clear_line(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    state = str(tmp_path / "s")
    done = memscope("score", str(small_file), "--model", str(tmp_path / "model"), "--state", state)
    assert done.returncode == 1
    assert "the embedded scorer did not start" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version_are_quick_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["score", "--help"], ["doctor", "--help"], ["serve", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "score the full matrix" in out
    assert __version__ in out


def test_an_interrupt_ends_with_130(small_file: Path, scorer: ScorerAddress, tmp_path: Path) -> None:
    program = (
        "import sys, os, signal\nfrom memscope.scoring import matrix\nfrom memscope.cli import main\n"
        "old = matrix.MatrixJob._row\n"
        "def row(*given):\n    os.kill(os.getpid(), signal.SIGINT)\n    return old(*given)\n"
        "matrix.MatrixJob._row = row\nsys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["score", str(small_file), "--url", scorer.url, "--state", str(tmp_path / "s")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "MEMSCOPE_API_KEY": scorer.token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip().endswith("memscope: interrupted")
    assert "Traceback" not in done.stderr


def memscope(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memscope", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_what_cannot_be_scored_is_one_line(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = small_file.read_text().splitlines()
    long = '{"type":"branch","role":"user","children":[{"type":"content","text":"' + "port " * 9000 + '"}]}'
    small_file.write_text("\n".join([*lines[:4], long, *lines[4:]]) + "\n")
    assert main(["score", str(small_file), "--url", str(config.url), "--state", config.state or ""]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the session is too long for tiny: conversation node 0 (user)" in line


def test_a_full_disk_behind_stdout_is_one_line(small_file: Path, config: Config) -> None:
    command = [sys.executable, "-m", "memscope", "score", str(small_file), "--url", str(config.url)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--state", str(config.state)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "memscope: the output cannot be written: No space left on device\n")


def test_closed_streams_cause_no_traceback(small_file: Path, config: Config) -> None:
    command = f'exec "{sys.executable}" -m memscope score "{small_file}" --url {config.url} --state "{config.state}"'
    for closed in (">&-", "<&- >/dev/null", "2>&- >/dev/null"):
        done = subprocess.run(["/bin/sh", "-c", f"{command} {closed}"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


FOREIGN = "Zoë’s 数据库 port → 7432 🙂"


@pytest.fixture
def foreign_file(tmp_path: Path) -> Path:
    """A session with a key and a text that only Unicode can write."""
    path = tmp_path / "foreign.jsonl"
    path.write_text(
        '{"type":"session","version":1,"id":"foreign"}\n'
        + json.dumps({"type": "memory", "section": "identity", "key": FOREIGN, "text": "The port is 7432."})
        + '\n{"type":"branch","role":"user","children":[{"type":"content","text":"Which port?"}]}\n'
        + json.dumps({"type": "branch", "role": "assistant", "children": [{"type": "content", "text": FOREIGN}]})
        + "\n"
    )
    return path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_stdout_without_unicode_gets_readable_text_and_exact_json(
    encoding: str, foreign_file: Path, config: Config
) -> None:
    def printed(output: str) -> str:
        command = [sys.executable, "-m", "memscope", "score", str(foreign_file), "--url", str(config.url)]
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(
            [*command, "--state", str(config.state), "--format", output],
            capture_output=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0
        (warning,) = done.stderr.splitlines()
        assert warning.startswith(b"memscope: note: this model hardly expects these answers")
        return done.stdout.decode(encoding)

    as_json = printed("json")
    assert as_json.isascii()
    assert json.loads(as_json)["memories"][0]["key"] == FOREIGN
    assert "7432" in printed("csv")
    assert "1 memory x 1 response" in printed("table")


def test_an_interrupt_while_the_session_is_read_ends_with_130(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "from memscope.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    command = [sys.executable, "-c", program, "score", str(pipe), "--state", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        writer = None
        while writer is None and process.poll() is None:
            with contextlib.suppress(OSError):  # nobody reads yet
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        while process.poll() is None:  # as somebody does who is impatient
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        assert process.returncode == 130
        assert process.stderr is not None
        assert process.stderr.read() == "memscope: interrupted\n"
        assert writer is not None
        os.close(writer)


@pytest.mark.parametrize(
    "given",
    ["--port 99999", "--port -1", "--max-model-len 0", "--threads -3", "--chunk-tokens 0", "--dtype wat", "--steps 0"],
)
def test_senseless_options_of_serve_are_usage_errors_at_once(given: str) -> None:
    done = memscope("serve", *given.split())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("there")
def test_the_json_says_when_it_is_of_sufficiency(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score", str(small_file), "--format", "json", "--measure", "sufficiency") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["measure"] == "sufficiency"
    assert report["divergence"][0][0] > 3


def test_an_unexpected_error_is_one_line_and_a_traceback_in_the_debug_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> int:
        secret = "-".join(["open", "sesame"])
        raise ValueError(secret)

    monkeypatch.setattr("memscope.commands.score.score", broken)
    assert run("score", "--state", str(tmp_path)) == 1
    told = capsys.readouterr().err
    log = (tmp_path / "debug.log").read_text()
    assert told.startswith("memscope: unexpected ValueError at test_cli.py:")
    assert told.count("\n") == 1
    assert "in broken" in log
    assert "open-sesame" not in told + log
