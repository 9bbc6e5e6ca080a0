"""What the terminal sends: read so that no byte of it can end the screen.

Textual's own reader ends the app at a byte that is not UTF-8 and at a number in an escape sequence that is out of
range, and takes a pasted text that the terminal did not bracket for keys: 100 kB of them hold it up for half a minute,
and a `q` among them quits.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, TextIO, cast

from textual import events, messages
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

__all__ = ["InputReader", "TolerantDriver"]

_CHUNK_BYTES = 4096
_POLL_SECONDS = 0.1
_TYPED_AT_MOST = 256
"""Keys in one read that can still have been typed, on a line that stalled."""

_KEYS_HELD_DOWN = 4
"""Different keys up to which many in one read are a few that were held down."""

_WIDEST = 10_000
"""Cells of the widest or highest terminal that is believed."""

_GARBLED = (ArithmeticError, ValueError, LookupError)
"""What Textual's parser raises at sequences that no terminal should send."""


class InputReader:
    """Turns bytes of a terminal into messages."""

    def __init__(self, *, debug: bool = False) -> None:
        self._debug = debug
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = XTermParser(debug)
        self._pasted: list[str] = []

    def read(self, data: bytes) -> Iterator[Message]:
        """Return what some bytes say; a flood of characters is held back until `pause`, as one pasted text."""
        found = [message for character in self._decode(data) for message in self._parsed(character)]
        text = _typed_text(found)
        if text is not None and (self._pasted or _is_flood(text)):
            self._pasted.append(text)
            return
        yield from self._paste()
        yield from found

    def pause(self) -> Iterator[Message]:
        """Return what was held back, once nothing has arrived for a moment, and a lone Escape."""
        yield from self._paste()
        yield from self._parser.tick()

    def _paste(self) -> Iterator[Message]:
        if self._pasted:
            yield events.Paste("".join(self._pasted))
            self._pasted.clear()

    def _parsed(self, character: str) -> list[Message]:
        try:
            return [message for message in self._parser.feed(character) if not _is_absurd(message)]
        except _GARBLED:
            # The parser is a generator that has ended: the sequence is dropped, and another one goes on.
            old, self._parser = self._parser, XTermParser(self._debug)
            self._parser.mouse_pixels = old.mouse_pixels
            self._parser.terminal_size = old.terminal_size
            self._parser.terminal_pixel_size = old.terminal_pixel_size
            return []


def _is_absurd(message: Message) -> bool:
    return isinstance(message, events.Resize) and not all(0 < extent <= _WIDEST for extent in message.size)


def _typed_text(found: list[Message]) -> str | None:
    """Return the text of keys that are all characters, line ends among them; None where anything else is there."""
    text = ""
    for message in found:
        if not isinstance(message, events.Key) or not message.character:
            return None
        text += message.character
    return text or None


def _is_flood(text: str) -> bool:
    return len(text) > _TYPED_AT_MOST and len(set(text)) > _KEYS_HELD_DOWN


class _Output(io.TextIOBase):
    """Where the screen is drawn; takes everything even when the terminal has gone.

    Textual's writer thread would end with an error, and the app would wait for ever for it to take the next frame. That
    the terminal has gone is noticed by the reader, which ends the app.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class TolerantDriver(LinuxDriver):
    """Textual's driver for Linux and macOS with another reader, and an output that outlives its terminal."""

    def start_application_mode(self) -> None:
        """Take the terminal over."""
        if sys.__stderr__ is not None:
            self._file = cast("Any", _Output(sys.__stderr__))
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def run_input_thread(self) -> None:
        """Read until the app ends; end the app where the terminal has gone."""
        reader = InputReader(debug=self._debug)
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if not selector.select(_POLL_SECONDS):
                    self._send(reader.pause())
                elif data := self._available():
                    self._send(reader.read(data))
                else:
                    self.send_message(messages.ExitApp())
                    return

    def _available(self) -> bytes:
        try:
            return os.read(self.fileno, _CHUNK_BYTES)
        except OSError:  # the terminal was closed
            return b""

    def _send(self, found: Iterator[Message]) -> None:
        for message in found:
            self.process_message(message)
