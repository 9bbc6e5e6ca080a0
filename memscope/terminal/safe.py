"""The single place that makes untrusted text safe for a terminal.

Session text, file names and server messages may contain escape sequences, C1 controls, bidirectional overrides and
zero-width characters. Terminals interpret them, and neither Textual nor Rich filters them. Everything that the screen
or a command shows passes through here, where each such character is replaced by a visible glyph. Only displayed text
is changed, never scored text. Markup is not interpreted.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

__all__ = ["cells", "fit", "indentation", "one_line", "shorten", "visible"]

_FILLERS = frozenset({0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x034F})
"""Code points that are letters by category but invisible, and are used to hide text."""

_SHOWN_AS_CODE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_EMOJI_SELECTOR = "\ufe0f"


class _Glyphs(dict[int, str]):
    """The replacement of each code point, computed on first use."""

    def __missing__(self, code: int) -> str:
        glyph = self[code] = _glyph(code)
        return glyph


def _glyph(code: int) -> str:
    character = chr(code)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    hidden = unicodedata.category(character) in _SHOWN_AS_CODE or code in _FILLERS or _is_selector(code)
    return f"‹{code:02X}›" if hidden else character


def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF


_GLYPHS = _Glyphs()


def visible(text: str) -> str:
    """Replace control, bidi, invisible and invalid characters by visible glyphs, except newline and tab.

    C0 controls and DEL become control pictures (ESC is ␛), others their code between ‹ and ›. The variation selector
    for emoji presentation is dropped after its symbol, since terminals disagree about its width.
    """
    if text.isascii() and text.isprintable():
        return text
    if _EMOJI_SELECTOR in text:
        text = _without_emoji_selectors(text)
    return text.translate(_GLYPHS)


def _without_emoji_selectors(text: str) -> str:
    kept: list[str] = []
    for character in text:
        if character == _EMOJI_SELECTOR and kept and unicodedata.category(kept[-1]) in ("So", "Sm", "Sk"):
            continue
        kept.append(character)
    return "".join(kept)


def one_line(text: str) -> str:
    """Return a text made visible, on one line, with whitespace collapsed."""
    return visible(" ".join(text.split()))


def indentation(text: str) -> str:
    """Return the spaces at the beginning of a text, which `one_line` drops."""
    return " " * (len(text) - len(text.lstrip(" ")))


def cells(text: str) -> int:
    """Return the width of a visible text in terminal cells."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shorten(text: str, width: int) -> str:
    """Return a text made visible on one line, cut to at most `width` cells with an ellipsis."""
    line = one_line(text)
    if cells(line) <= width:
        return line
    if width < 1:
        return ""
    from rich.cells import set_cell_size

    return set_cell_size(line, width - 1).rstrip() + "…"


def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Return a text made visible on one line, exactly `width` cells wide."""
    line = shorten(text, width)
    blank = " " * (width - cells(line))
    return line + blank if align == "left" else blank + line
