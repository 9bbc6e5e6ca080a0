"""Follow a growing session: keep a run at its latest version, and score what is missing, newest first.

After each new version the newest response comes first, its memories by expected effect, then what is older. Rows in
progress are finished when something newer arrives; the others give way to it. A row is scored for all responses that
miss it and share a sequence with the newest one, since the pass that reaches the newest response goes through them
anyway. Other jobs of the run (a memory scored again, the other measure) take precedence.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from memscope.errors import MemscopeError, PromptError
from memscope.run.run import Run
from memscope.scoring.events import (
    BaselineDone,
    Event,
    Notice,
    RowDone,
    RowFailed,
    ScorerReady,
    SessionGrown,
    StateChanged,
)
from memscope.scoring.expected import by_expected_effect
from memscope.scoring.grid import Grid, Measure, baseline_ablation
from memscope.session.advice import advice
from memscope.session.follow import FollowedFile
from memscope.session.nodes import Session

__all__ = ["Following", "FollowingStatus"]

FollowingStatus: TypeAlias = Literal["waiting", "live", "paused"]

_POLL_SECONDS = 0.2
"""How often the file is looked at: a new node appears well within a second."""

_CHANGES = (RowDone, RowFailed, BaselineDone, SessionGrown, ScorerReady)
"""Events after which other cells may be scored than before."""

_WAKING = ("ready", "done", "cancelled")
"""States of the run after which there may be something to score."""


class _Due(msgspec.Struct, frozen=True):
    """Rows to score, in order, for some responses; None for all."""

    keys: Sequence[str]
    responses: Sequence[str] | None


class Following:
    """Follows one file with one run. Use it on the run's event loop.

    Attributes:
        measure: The measure to score; the screen sets the one that it shows.
        advice: What to do while nothing can be scored, line by line; empty if nothing is known.
    """

    def __init__(self, run: Run, file: FollowedFile, notices: Sequence[str] = ()) -> None:
        """Create it; nothing happens before `follow`.

        Args:
            run: The run, which begins with the session that the first look at the file found, or an empty one.
            file: The file.
            notices: What else that look found.
        """
        self.measure: Measure = "necessity"
        self.advice: tuple[str, ...] = ()
        self._run, self._file, self._notices = run, file, notices
        self._paused = False
        self._wake = asyncio.Event()
        self._failed: set[str] = set()
        self._done: _Due | None = None
        self._newest: str | None = None
        self._behind_since: float | None = None
        self._pending: int | None = None

    @property
    def name(self) -> str:
        """The file, or the folder in which one is awaited."""
        return self._file.name

    @property
    def status(self) -> FollowingStatus:
        """Whether there is nothing to score yet, scoring is paused, or the map follows the file."""
        if self.waiting_for:
            return "waiting"
        return "paused" if self._paused else "live"

    @property
    def waiting_for(self) -> str:
        """What is missing before anything can be scored, on one line; "" if nothing is."""
        layout = self._run.layout
        if self._file.waiting:
            return self._file.waiting
        missing = [words for words, there in (("memory", layout.rows), ("response", layout.columns)) if not there]
        if not missing:
            return ""
        return f"waiting for the first {' and the first '.join(missing)} in {self._file.name}"

    @property
    def pending(self) -> int:
        """The number of cells that are not scored yet, without those of failed rows."""
        if self._pending is None:
            grid = self._grid
            rows = zip(grid.values, grid.status, strict=True)
            self._pending = sum(_unscored(values) for values, status in rows if status != "failed")
        return self._pending

    @property
    def lag_seconds(self) -> float:
        """For how long there have been nodes that are not scored; 0 if everything is."""
        if self._behind_since is None or not self.pending:
            return 0.0
        return time.monotonic() - self._behind_since

    def pause(self) -> None:
        """Start no further rows until `resume`; new nodes still appear."""
        self._paused = True
        self._run.pause()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._paused = False
        self._run.resume()
        self._wake.set()

    def score(self, measure: Measure) -> None:
        """Score another measure from now on."""
        self.measure = measure
        self._done = self._pending = None
        self._wake.set()

    async def follow(self) -> None:
        """Follow until cancelled."""
        stop_listening = self._run.listen(self._heard)
        try:
            self._say(self._notices)
            self._arrived()
            await self._advise()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._work())
        finally:
            stop_listening()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                update = await asyncio.to_thread(self._file.poll)
            except MemscopeError as error:
                self._say([f"{error}; waiting for another file in its place"])
                continue
            self._say(update.notices)
            if update.session is not None:
                await self._switch(update.session)

    async def _switch(self, session: Session) -> None:
        try:
            await self._run.replace_session(session)
        except MemscopeError as error:
            self._say([f"the session's new version is not shown: {error}"])
            return
        self._arrived()
        await self._advise()

    async def _advise(self) -> None:
        """Find out what to do about responses without memories, or about calls that all failed."""
        session, layout = self._run.session, self._run.layout
        stuck = bool(layout.columns) and not layout.rows
        failed = not layout.columns and any(call.status == "failed" for call in session.calls)
        self.advice = await asyncio.to_thread(advice, session) if stuck or failed else ()
        if self.advice:
            self._run.emit(SessionGrown(len(layout.rows), len(layout.columns)))

    def _arrived(self) -> None:
        responses = self._run.layout.responses
        self._newest = responses[-1] if responses else None
        self._failed.clear()
        self._done = None
        if self._behind_since is None and self.pending:
            self._behind_since = time.monotonic()
        self._wake.set()

    async def _work(self) -> None:
        # Open now, so that the scorer is ready when the first response arrives; the run reports an error.
        with contextlib.suppress(MemscopeError):
            await self._run.open()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not self._paused and (due := self._due()) not in (None, self._done) and await self._score(due):
                pass
            if not self.pending:
                self._behind_since = None

    async def _score(self, due: _Due) -> bool:
        """Score what is due, as far as nothing newer arrives; return whether to go on at once."""
        run, measure, newest = self._run, self.measure, self._newest
        stopped = False

        def stop() -> bool:
            nonlocal stopped
            stopped = newest != self._newest or measure != self.measure or run.is_awaited
            return stopped

        try:
            await run.matrix(measure, keys=due.keys, responses=due.responses, stop=stop, routine=True)
        except MemscopeError:
            return False  # the run has reported it
        self._failed |= set(run.grids[measure].keys_with("failed"))
        self._done = None if stopped else due
        return run.state == "done"

    def _due(self) -> _Due | None:
        """Return what to score next; None if everything is scored or failed."""
        grid, newest = self._grid, self._newest
        if newest is None or not grid.rows:
            return None
        missing = {row.key: values for row, values in zip(grid.rows, grid.values, strict=True) if _unscored(values)}
        keys = by_expected_effect(grid, newest, missing.keys() - self._failed)
        (last,) = grid.layout.positions([newest])
        keys.sort(key=lambda key: not math.isnan(missing[key][last]))
        together = self._together(newest)
        places = grid.layout.positions(together)
        first = [key for key in keys if _unscored(map(missing[key].__getitem__, places))]
        if first or grid.table.missing(baseline_ablation(grid.measure), together):
            return _Due(first, None if len(together) == len(grid.columns) else together)
        return _Due(keys, None) if keys else None

    def _together(self, response: str) -> Sequence[str]:
        """Return the responses that are scored in the same sequence as one of them."""
        layout = self._run.layout
        (place,) = layout.positions([response])
        try:
            sequences = self._run.prompt.sequences
        except PromptError:  # it is not rendered yet
            return layout.responses
        indices = next((one.responses for one in sequences if place in one.responses), range(len(layout.responses)))
        return [layout.responses[index] for index in sorted(indices)]

    @property
    def _grid(self) -> Grid:
        return self._run.grids[self.measure]

    def _heard(self, event: Event) -> None:
        if isinstance(event, _CHANGES):
            self._pending = None
        if isinstance(event, StateChanged) and event.state in _WAKING:
            self._wake.set()

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._run.emit(Notice(line))


def _unscored(values: Iterable[float]) -> int:
    return sum(map(math.isnan, values))
