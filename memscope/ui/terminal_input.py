"""Read terminal input so that no byte sequence can crash the screen.

Textual's reader ends the app on invalid UTF-8 and on out-of-range numbers in escape sequences, and treats text that is
pasted without bracketed paste as keys: 100 kB of them block it for half a minute, and a `q` among them quits.
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
_MAX_TYPED_KEYS = 256
"""Maximum number of keys in one read that may have been typed, on a stalled connection."""

_MAX_HELD_KEYS = 4
"""Maximum number of distinct keys in one read that may have been held down."""

_MAX_TERMINAL_CELLS = 10_000
"""Maximum plausible width or height of a terminal."""

_PARSER_ERRORS = (ArithmeticError, ValueError, LookupError)
"""Exceptions that Textual's parser raises on malformed sequences."""


class InputReader:
    """Converts bytes from a terminal to messages."""

    def __init__(self, *, debug: bool = False) -> None:
        self._debug = debug
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = XTermParser(debug)
        self._pasted: list[str] = []

    def read(self, data: bytes) -> Iterator[Message]:
        """Yield the messages of some bytes; a flood of characters is buffered until `pause`, as one paste."""
        found = [message for character in self._decode(data) for message in self._parsed(character)]
        text = _typed_text(found)
        if text is not None and (self._pasted or _is_flood(text)):
            self._pasted.append(text)
            return
        yield from self._paste()
        yield from found

    def pause(self) -> Iterator[Message]:
        """Yield buffered text and a lone Escape, once no input has arrived for a moment."""
        yield from self._paste()
        yield from self._parser.tick()

    def _paste(self) -> Iterator[Message]:
        if self._pasted:
            yield events.Paste("".join(self._pasted))
            self._pasted.clear()

    def _parsed(self, character: str) -> list[Message]:
        try:
            return [message for message in self._parser.feed(character) if not _is_absurd(message)]
        except _PARSER_ERRORS:
            # The parser is a generator that has ended: drop the sequence and continue with a new parser.
            old, self._parser = self._parser, XTermParser(self._debug)
            self._parser.mouse_pixels = old.mouse_pixels
            self._parser.terminal_size = old.terminal_size
            self._parser.terminal_pixel_size = old.terminal_pixel_size
            return []


def _is_absurd(message: Message) -> bool:
    return isinstance(message, events.Resize) and not all(0 < extent <= _MAX_TERMINAL_CELLS for extent in message.size)


def _typed_text(found: list[Message]) -> str | None:
    """Return the text of keys that are all characters or line ends; None if there is any other message."""
    text = ""
    for message in found:
        if not isinstance(message, events.Key) or not message.character:
            return None
        text += message.character
    return text or None


def _is_flood(text: str) -> bool:
    return len(text) > _MAX_TYPED_KEYS and len(set(text)) > _MAX_HELD_KEYS


class _Output(io.TextIOBase):
    """The output stream of the screen, which accepts writes even after the terminal was closed.

    Otherwise Textual's writer thread would end with an error, and the app would wait forever for it to accept the next
    frame. The reader notices that the terminal was closed and ends the app.
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
    """Textual's driver for Linux and macOS, with a tolerant reader and output stream."""

    def start_application_mode(self) -> None:
        """Take over the terminal."""
        if sys.__stderr__ is not None:
            self._file = cast("Any", _Output(sys.__stderr__))
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def run_input_thread(self) -> None:
        """Read until the app ends; end the app if the terminal was closed."""
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
