"""A grid that is written to a file is for its owner only: it quotes the session."""

import os
from pathlib import Path

import pytest

from memscope.errors import UsageError
from memscope.run.run import Run
from memscope.scoring.events import ScorerReady
from memscope.scoring.report import matrix_report
from memscope.ui.export import write_grid


@pytest.mark.parametrize("name", ["grid.csv", "grid.json"])
def test_only_the_owner_can_read_the_file_and_nothing_is_replaced(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scorer = ScorerReady("embedded", "tiny", "float32", "http://h/v1", "score", "w", verified=True)
    report = matrix_report(run.session.header, scorer, run.grids["necessity"], run.cost, 0.0)
    monkeypatch.setattr(run, "report", lambda _measure: report)
    before = os.umask(0o022)
    try:
        assert write_grid(run, "necessity", tmp_path / name) == f"wrote {tmp_path / name}"
    finally:
        os.umask(before)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="the file exists"):
        write_grid(run, "necessity", tmp_path / name)
