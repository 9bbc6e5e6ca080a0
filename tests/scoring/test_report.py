"""A grid as data for scripts."""

from __future__ import annotations

from msgspec.structs import replace

from memscope.scoring.events import ScorerReady
from memscope.scoring.layout import Row
from memscope.scoring.report import matrix_report
from memscope.scoring.rescoring import Cost
from memscope.session.nodes import Header
from tests.scoring.grids import columns, filled


def test_the_memories_that_a_response_cites_are_listed_with_it() -> None:
    first, second = columns(2)
    grid = filled([Row("db", "conversation", "", 1, range(2))], [first, replace(second, cited=("db", "gone"))])
    scorer = ScorerReady("embedded", "tiny", "float32", "http://h/v1", "score", "w", verified=True)
    report = matrix_report(Header(id="x"), scorer, grid, Cost(), 0.0)
    assert [response["cited"] for response in report["responses"]] == [[], ["db", "gone"]]
