"""The title line: session, size, scorer, state, and progress while the run is active."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.style import Style

from memscope.scoring.events import Progress
from memscope.terminal.safe import cells, one_line, shorten
from memscope.ui.line import OneLine, StyledText

if TYPE_CHECKING:
    from memscope.run.following import Following
    from memscope.run.run import Run
from memscope.terminal.counts import counted

__all__ = ["Title", "clock"]

_BOLD, _DIM, _PLAIN = Style(bold=True), Style(dim=True), Style()
_BAR = 16
_EIGHTHS = " ▏▎▍▌▋▊▉"


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Title(OneLine):
    """The title line of one run.

    Attributes:
        delta: Whether the map shows changes since the weights changed.
    """

    def __init__(self, run: Run, following: Following | None = None) -> None:
        super().__init__(id="title")
        self._run, self._following = run, following
        self._measure = "necessity"
        self.delta = False
        self._progress: Progress | None = None

    def update_run(self, measure: str, progress: Progress | None) -> None:
        """Update the measure and the progress."""
        self._measure, self._progress = measure, progress
        self.refresh()

    def pieces(self, width: int) -> Iterator[StyledText]:
        """Return the progress at the right, preceded by as many facts as fit, most useful first."""
        right = self._right()
        room = width - sum(cells(text) for text, _ in right) - 1
        used = 0
        for text, style in self._facts(width):
            if cells(text) + 2 > room - used:
                break
            used += cells(text) + 2
            yield f" {text} ", style
        yield " " * (room - used), _PLAIN
        yield from right
        yield " ", _PLAIN

    def _facts(self, width: int) -> Iterator[StyledText]:
        run = self._run
        grid = run.grids["necessity"]
        yield shorten(run.session.header.title or run.session.header.id, width * 3 // 10), _BOLD
        if run.scorer is not None and not run.scorer.verified:
            yield "scorer not verified", _BOLD
        if run.notices.model_doubted:
            yield "wrong model?", _BOLD
        yield f"{counted(len(grid.rows), 'memory', 'memories')} × {counted(len(grid.columns), 'response')}", _PLAIN
        yield self._measure, _DIM
        if run.config.is_read_only:
            yield "read-only", _DIM
        if self.delta:
            yield "after − before", _BOLD
        if run.scorer is not None:
            yield f"{one_line(run.scorer.model)} ({one_line(run.scorer.kind)} {one_line(run.scorer.dtype)})", _DIM

    def _right(self) -> list[StyledText]:
        if self._following is not None:
            return [(_following(self._following, self._run.state), _BOLD)]
        state, progress = self._run.state, self._progress
        if state not in ("scoring", "paused") or progress is None:
            return [(state, _BOLD)]
        eta = f" {clock(progress.eta_seconds)} left" if progress.eta_seconds is not None else ""
        rate = f" {progress.rows_per_second:.1f} rows/s" if progress.rows_per_second else ""
        words = f" {progress.done}/{progress.total}{rate}{eta}"
        return [(f"{state} ", _BOLD), (_bar(progress), _PLAIN), (words, _PLAIN)]


def _following(following: Following, state: str) -> str:
    """Return whether the session is live, what is not scored yet, and for how long it has been waiting."""
    parts: list[str] = [following.status, *([state] if state in ("starting", "failed") else [])]
    if pending := following.pending:
        parts.append(f"{counted(pending, 'cell')} pending")
    if (lag := following.lag_seconds) >= 1:
        parts.append(f"{clock(lag)} behind")
    return " · ".join(parts)


def _bar(progress: Progress) -> str:
    full, eighths = divmod(round(progress.done / max(1, progress.total) * _BAR * 8), 8)
    bar = "█" * full + (_EIGHTHS[eighths] if eighths else "")
    return f"▕{bar.ljust(_BAR)}▏"
