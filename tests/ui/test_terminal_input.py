"""Bytes of a terminal: whatever they are, they become messages or nothing."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual.message import Message

from memscope.ui.terminal_input import InputReader, _Output

PROSE = "".join(f"line {number} of a text, with q and t among its letters\n" for number in range(2000))
READ_BYTES = 4096


def read(*chunks: bytes) -> list[Message]:
    """Read chunks one after the other, then nothing for a moment."""
    reader = InputReader()
    found = [message for chunk in chunks for message in reader.read(chunk)]
    return found + list(reader.pause())


def keys(messages: list[Message]) -> list[str]:
    return [message.key for message in messages if isinstance(message, events.Key)]


def pasted(messages: list[Message]) -> list[str]:
    return [message.text for message in messages if isinstance(message, events.Paste)]


@pytest.mark.parametrize(
    "garbled",
    [
        b"\x1b[999999999999~",
        b"\x1b[1114112u",
        b"\x1b[97;1;99999999999u",
        b"\x1b[48;24;80;0;0t\x1b[<0;3;3M",
        b"\x1b[48;99999999;99999999;1;1t",
        b"\x1b[48;0;0;0;0t",
    ],
)
def test_a_garbled_sequence_is_dropped_and_the_next_key_counts(garbled: bytes) -> None:
    found = read(garbled + b"j")
    assert keys(found) == ["j"]
    assert all(0 < extent < 1000 for m in found if isinstance(m, events.Resize) for extent in m.size)


def test_a_byte_that_is_not_utf_8_stays_one_character() -> None:
    assert [m.character for m in read(b"a\xffb") if isinstance(m, events.Key)] == ["a", "\ufffd", "b"]


def test_a_character_split_over_two_reads_is_one() -> None:
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert keys(read(first, second)) == ["é"]


def test_what_the_terminal_said_of_its_size_survives_a_garbled_sequence() -> None:
    reader = InputReader()
    sized = list(reader.read(b"\x1b[48;24;80;480;800t"))
    assert [m.size for m in sized if isinstance(m, events.Resize)] == [(80, 24)]
    list(reader.read(b"\x1b[999999999999~"))
    clicks = [m for m in reader.read(b"\x1b[<0;101;41M") if isinstance(m, events.MouseDown)]
    assert [(m.x, m.y) for m in clicks] == [(10, 2)], "in cells, not in pixels"


def test_a_long_text_is_one_paste_however_it_is_cut() -> None:
    data = PROSE.encode()
    chunks = [data[start : start + READ_BYTES] for start in range(0, len(data), READ_BYTES)]
    found = read(*chunks)
    assert pasted(found) == [PROSE]
    assert keys(found) == []


def test_keys_after_a_paste_are_keys_again() -> None:
    reader = InputReader()
    list(reader.read(PROSE.encode()[:1000]))
    assert len(pasted(list(reader.pause()))) == 1
    assert keys(list(reader.read(b"q"))) == ["q"]


def test_a_key_held_down_on_a_line_that_stalled_is_no_paste() -> None:
    assert keys(read(b"j" * 2000)) == ["j"] * 2000


def test_a_bracketed_paste_is_one_paste() -> None:
    found = read(b"\x1b[200~" + PROSE.encode(), PROSE.encode() + b"\x1b[201~", b"q")
    assert pasted(found) == [PROSE + PROSE]
    assert keys(found) == ["q"]


def test_output_to_a_closed_terminal_raises_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(OSError), os.fdopen(writer, "w") as stream:  # closing it tries once more
        output = _Output(stream)
        assert output.write("x" * 100_000) == 100_000
        output.flush()
        assert output.fileno() == writer


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40) | st.from_regex(rb"\x1b\[[0-9;:<?]{0,30}[a-zA-Z~$]", fullmatch=True)))
def test_no_bytes_end_the_reader(chunks: list[bytes]) -> None:
    reader = InputReader()
    for chunk in chunks:
        list(reader.read(chunk))
    list(reader.pause())
