"""A flood of events becomes one batch a frame."""

from __future__ import annotations

import asyncio

import pytest

from memscope.scoring.events import Finished, Notice, Progress, RowDone, RowFailed, SessionNotes
from memscope.ui.feed import Batch, Feed

pytestmark = pytest.mark.anyio


async def test_thousands_of_rows_arrive_as_one_batch() -> None:
    arrived: asyncio.Queue[Batch] = asyncio.Queue()
    feed = Feed(arrived.put_nowait)
    for row in range(3000):
        feed(RowDone("necessity", f"k{row}", 1.0, 1, cached=True))
        feed(Progress(row + 1, 3000, 1e4, 0.0))
    feed(RowFailed("sufficiency", "k3", "boom"))
    feed(Notice("beware"))
    feed(Finished(1, 2, 3, 4.0, failed=1, cancelled=True))
    batch = await arrived.get()
    assert batch.rows == {"necessity": {f"k{row}" for row in range(3000)}, "sufficiency": {"k3"}}
    assert batch.progress is not None
    assert batch.progress.done == 3000
    assert batch.notices == ["beware"]
    assert [line.split(":")[0] for line in batch.lines] == [
        "memory k3 failed",
        "beware",
        "stopped, results are kept, after 4.0 s, 1 rows failed",
    ]
    feed(Notice("again"))
    assert (await arrived.get()).lines == ["again"]


def test_notes_on_the_session_are_log_lines_and_one_short_message() -> None:
    batch = Batch()
    batch.add(SessionNotes(("3 images skipped", "a note")))
    assert batch.lines == ["3 images skipped", "a note"]
    assert batch.notices == ["session file: 3 images skipped (1 more in the log)"]
