"""The one place that makes untrusted text fit for a terminal.

Session text, file names and server messages may hold escape sequences, C1 controls, bidirectional overrides and
characters that take no room; terminals obey them, and neither Textual nor Rich stops them. Everything the screen or a
command shows passes through here and comes out inert, with a glyph where such a character was. Only what is shown is
changed, never what is scored. Nothing here reads markup.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

__all__ = ["cells", "fit", "one_line", "shorten", "visible"]

_FILLERS = frozenset({0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x034F})
"""Letters by category that take no ink: used to hide text as well as spaces are."""

_SHOWN_AS_CODE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_EMOJI_SELECTOR = "\ufe0f"


class _Glyphs(dict[int, str]):
    """What to show for each code point, worked out when it is first met."""

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
    """Return a text with every control, bidi, invisible or broken character as a visible glyph; keeps newline and tab.

    C0 and DEL become their control pictures (ESC is ␛), others their code between ‹ and ›. The selector that asks for
    an emoji's coloured form is dropped after the symbol it belongs to: terminals disagree about its width.
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
    """Return a text made visible, on one line, with every run of blanks as one space."""
    return visible(" ".join(text.split()))


def cells(text: str) -> int:
    """Return how many terminal cells a visible text takes."""
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
