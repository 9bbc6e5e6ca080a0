"""The look of cells: colours if the terminal supports them, or else a ramp of glyphs.

Nine levels of cividis remain distinct in lightness with 256 colours and for colour-blind users. The signed view is a
diverging map whose middle is the colour of zero, with a glyph for the sign. *Before*, *zero*, *not scored* and *failed*
differ from each other and from every level, with and without colour.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec
from rich.color import Color
from rich.style import Style

from memscope.ui.scale import ABSENT, CODES, FAILED, LEVELS, UNSCORED, ZERO, level_code

__all__ = ["Colours", "Palette", "colours_of", "make_palette", "token_style"]

Colours: TypeAlias = Literal["full", "none"]
RGB: TypeAlias = tuple[int, int, int]

_CIVIDIS = ("00224e", "173870", "424e6c", "60646f", "7d7c76", "9b9476", "bcad6c", "ddc958", "fee838")
_RAMP = "··░░▒▒▓▓█"
_RAMP_DOWN = "---===≡≡≡"
_UP: RGB = (255, 159, 64)
_DOWN: RGB = (92, 170, 255)
_MIDDLE: dict[bool, RGB] = {True: (38, 41, 48), False: (200, 204, 212)}
_SURFACE: dict[bool, RGB] = {True: (18, 18, 18), False: (224, 224, 224)}


def colours_of(system: str | None, no_color: bool) -> Colours:
    """Choose colours or glyphs; `system` is Rich's name of the terminal's colour system."""
    return "full" if system in ("256", "truecolor") and not no_color else "none"


class Cell(msgspec.Struct, frozen=True):
    """The look of one code: its first glyph, the fill of the remaining width, its style, and its flat colour."""

    glyph: str
    rest: str
    style: Style
    flat: Color | None


class Palette(msgspec.Struct, frozen=True):
    """One look for all codes; `cells[code]` draws a code."""

    colours: Colours
    cells: tuple[Cell, ...]

    def text(self, code: int, width: int) -> str:
        """Return the text of a cell of this width."""
        cell = self.cells[code]
        return cell.glyph + cell.rest * (width - 1)

    def halves(self, upper: int, lower: int) -> tuple[str, Style]:
        """Return a half block that shows two cells, the first above the second; only with colours."""
        top, bottom = self.cells[upper].flat, self.cells[lower].flat
        return "▀", Style(color=top, bgcolor=bottom)


def _blend(start: RGB, end: RGB, share: float) -> RGB:
    r, g, b = (round(a + (z - a) * share) for a, z in zip(start, end, strict=True))
    return r, g, b


def _rgb(colour: str) -> RGB:
    return int(colour[:2], 16), int(colour[2:4], 16), int(colour[4:], 16)


def _text_colour(ground: RGB) -> Color:
    """Return black or white, whichever is more readable on a background (ITU-R BT.601 luma)."""
    luma = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2]
    return Color.from_rgb(0, 0, 0) if luma > 127 else Color.from_rgb(255, 255, 255)


def _filled(ground: RGB, glyph: str = " ") -> Cell:
    colour = Color.from_rgb(*ground)
    return Cell(glyph, " ", Style(color=_text_colour(ground), bgcolor=colour), colour)


@lru_cache(maxsize=8)
def make_palette(colours: Colours, *, signed: bool, dark: bool) -> Palette:
    """Return the look for a terminal, a view and a theme."""
    cells = _glyph_cells() if colours == "none" else _colour_cells(signed, dark)
    return Palette(colours, tuple(cells[code] for code in range(CODES)))


def _colour_cells(signed: bool, dark: bool) -> dict[int, Cell]:
    middle, surface = _MIDDLE[dark], Color.from_rgb(*_SURFACE[dark])
    grey, red = Color.from_rgb(110, 114, 122), Color.from_rgb(255, 85, 85)
    cells = {
        ABSENT: Cell(" ", " ", Style(), surface),
        ZERO: _filled(middle),
        UNSCORED: Cell("·", " ", Style(color=grey), Color.from_rgb(*_blend(_SURFACE[dark], middle, 0.4))),
        FAILED: Cell("×", "×", Style(color=red, bold=True), red),
    }
    for level in range(1, LEVELS + 1):
        share = 0.15 + 0.85 * level / LEVELS
        up = _blend(middle, _UP, share) if signed else _rgb(_CIVIDIS[level - 1])
        cells[level_code(level)] = _filled(up, "+" if signed else " ")
        cells[level_code(-level)] = _filled(_blend(middle, _DOWN, share), "−")
    return cells


def _glyph_cells() -> dict[int, Cell]:
    plain, dim = Style(), Style(dim=True)
    cells = {
        ABSENT: Cell(" ", " ", plain, None),
        ZERO: Cell(" ", " ", plain, None),
        UNSCORED: Cell(":", " ", dim, None),
        FAILED: Cell("×", "×", plain, None),
    }
    for level in range(1, LEVELS + 1):
        up, down = _RAMP[level - 1], _RAMP_DOWN[level - 1]
        cells[level_code(level)] = Cell(up, up, plain, None)
        cells[level_code(-level)] = Cell(down, down, plain, None)
    return cells


_TOKEN_LIMIT = 5.0
_TOKEN_FLOOR = 0.05


def token_style(change: float, colours: Colours, *, dark: bool) -> Style:
    """Return the shading of a token by the change of its log-probability in nats: warm if up, cold if down."""
    strength = min(1.0, (abs(change) / _TOKEN_LIMIT) ** 0.5)
    if abs(change) < _TOKEN_FLOOR:
        return Style()
    if colours == "none":
        return Style(bold=strength > 0.5, underline=change > 0, italic=change < 0, reverse=strength > 0.75)
    ground = _blend(_SURFACE[dark], _UP if change > 0 else _DOWN, 0.15 + 0.85 * strength)
    return Style(color=_text_colour(ground), bgcolor=Color.from_rgb(*ground), underline=change < 0)
