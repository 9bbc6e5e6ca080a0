"""Colours and glyphs: states look different from each other, with and without colour."""

import pytest

from memscope.ui.palette import Colours, colours_of, make_palette, token_style
from memscope.ui.scale import CODES, FAILED, LEVELS, UNSCORED, ZERO, level_code

looks = pytest.mark.parametrize("colours", ["full", "none"])


@looks
@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_not_scored_failed_zero_and_levels_look_different(colours: Colours, signed: bool, dark: bool) -> None:
    palette = make_palette(colours, signed=signed, dark=dark)
    seen = {(palette.text(code, 2), palette.cells[code].style) for code in (UNSCORED, FAILED, ZERO, level_code(1))}
    assert len(seen) == 4


def test_without_colours_no_cell_has_a_colour() -> None:
    palette = make_palette("none", signed=True, dark=True)
    assert all(cell.style.color is None and cell.style.bgcolor is None for cell in palette.cells)
    assert len({palette.cells[code].glyph for code in (UNSCORED, FAILED, ZERO, level_code(1))}) == 4


def test_levels_of_the_map_grow_lighter() -> None:
    cells = make_palette("full", signed=False, dark=True).cells
    colours = [cells[level_code(level)].style.bgcolor for level in range(1, LEVELS + 1)]
    greens = [colour.triplet.green for colour in colours if colour and colour.triplet]
    assert len(greens) == LEVELS
    assert greens == sorted(greens)


@looks
def test_the_sign_has_a_glyph(colours: Colours) -> None:
    palette = make_palette(colours, signed=True, dark=True)
    for level in range(1, LEVELS + 1):
        assert palette.text(level_code(level), 2) != palette.text(level_code(-level), 2)


@looks
def test_every_code_fills_its_width(colours: Colours) -> None:
    palette = make_palette(colours, signed=True, dark=True)
    assert all(len(palette.text(code, width)) == width for code in range(CODES) for width in (1, 2, 5))


@pytest.mark.parametrize(
    ("system", "no_color", "colours"),
    [
        ("truecolor", False, "full"),
        ("256", False, "full"),
        ("standard", False, "none"),
        (None, False, "none"),
        ("truecolor", True, "none"),
    ],
)
def test_few_colours_mean_glyphs(system: str | None, no_color: bool, colours: Colours) -> None:
    assert colours_of(system, no_color) == colours


@looks
def test_token_shades_show_the_sign(colours: Colours) -> None:
    up, down, still = (token_style(change, colours, dark=True) for change in (3.0, -3.0, 0.0))
    assert len({up, down, still}) == 3
