"""What is typed or pasted into the filter: bounded, printable, and applied once a burst."""

from __future__ import annotations

import pytest
from textual import events

from memscope.ui.heatmap.view import HeatmapView

from .conftest import EVIL, Screens

pytestmark = pytest.mark.anyio


async def test_the_entry_accepts_the_first_line_of_pasted_text_up_to_its_limit(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await pilot.press("slash", "a", "b", "left")
        app.post_message(events.Paste(EVIL + "x" * 100_000 + "\nsecond line"))
        await pilot.pause()
        value = app._heatmap.field.value
        assert len(value) == 200
        assert value.startswith("a[31mred")
        assert value.endswith("xb")
        assert value.isprintable()
        app.post_message(events.Paste("more"))
        app.post_message(events.Paste(""))
        await pilot.pause()
        assert app._heatmap.field.value == value


async def test_a_burst_of_keys_is_filtered_once(screens: Screens, monkeypatch: pytest.MonkeyPatch) -> None:
    async with screens() as (app, pilot):
        await pilot.press("slash")
        await pilot.pause()
        texts: list[str | None] = []
        order_by = HeatmapView.order_by

        def spy(view: HeatmapView, sort: None = None, text: str | None = None) -> None:
            texts.append(text)
            order_by(view, sort, text)

        monkeypatch.setattr(HeatmapView, "order_by", spy)
        for letter in "city/tom" * 10:
            app.post_message(events.Key(letter, letter))
        await pilot.pause()
        await pilot.pause()
        assert texts[-1] == "city/tom" * 10
        assert len(texts) <= 3


async def test_enter_applies_what_was_just_typed(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await pilot.press("slash")
        for key in "tom":
            app.post_message(events.Key(key, key))
        app.simulate_key("enter")
        await pilot.pause()
        assert app._heatmap.view.rows.filter == "tom"
        assert app.focused is app._heatmap.view
