"""One run: a session, a scorer and a store, emitting events.

The screen and the commands are frontends of this class without logic of their own: a script or a test can do whatever
they can with a `Run`. All methods must be called on one event loop. Memories are identified by key and responses by
id; positions belong to one layout, and the session may be replaced by a longer one while a matrix is being scored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from memscope.config import Config
from memscope.errors import MemscopeError, ScorerGoneError, UsageError
from memscope.prompt.prompt import Prompt
from memscope.run.notices import Notices
from memscope.run.source import ScorerSource
from memscope.scoring.events import (
    Event,
    Failed,
    Finished,
    PromptReady,
    ScorerLost,
    ScorerReady,
    ScorerStarting,
    StateChanged,
)
from memscope.scoring.grid import MEASURES, Grid, Measure
from memscope.scoring.growth import changed_responses
from memscope.scoring.layout import layout_of
from memscope.scoring.matrix import MatrixJob
from memscope.scoring.rescoring import AblationScorer, Cost, Rescorer, WeightsChangedError
from memscope.scoring.table import AblationTable
from memscope.scoring.tokens import CellTokens, cell_tokens
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.store.scores import ScoreStore
from memscope.store.settings import Settings

if TYPE_CHECKING:
    from memscope.engines.transport import Transport
    from memscope.prompt.tokenizer import Tokenizer

__all__ = ["Run", "RunState"]

T = TypeVar("T")


RunState: TypeAlias = Literal["idle", "starting", "ready", "scoring", "paused", "done", "cancelled", "failed"]


class Run:
    """One session, scored by one scorer, with results in one store.

    Attributes:
        session: The session.
        config: All options.
        layout: The session's memories and responses.
        table: Their log-probabilities under the weights in use.
        grids: One view of the table per measure; they exist from the beginning, initially unscored.
        earlier_grids: The grids from before the scorer's weights last changed.
        database: The state database.
        notices: What the user was told.
        settings: Values that persist between runs.
        scorer: The scorer in use; None before it is known.
        state: The current state.
        cost: The cost of the last matrix.
        seconds: Duration of the last matrix.
    """

    def __init__(self, session: Session, config: Config, database: Database) -> None:
        self.session = session
        self.config = config
        self.layout = layout_of(session)
        self.table = AblationTable()
        self.grids: dict[Measure, Grid] = {measure: Grid(self.layout, self.table, measure) for measure in MEASURES}
        self.earlier_grids: dict[Measure, Grid] = {}
        self.settings = Settings(database)
        self.scorer: ScorerReady | None = None
        self.state: RunState = "idle"
        self.cost = Cost()
        self.seconds = 0.0
        self._store = ScoreStore(database)
        self.database = database
        self._source = ScorerSource(config)
        self._listeners: list[Callable[[Event], None]] = []
        self._rescorer: Rescorer | None = None
        self._prompt: Prompt | None = None
        self._opening = asyncio.Lock()
        self._gate = asyncio.Event()
        self._gate.set()
        self._job: asyncio.Task[None] | None = None
        self.notices = Notices(self.emit)
        self._stop_listening = database.listen(lambda error: self.notices.tell([f"{error}: a setting was not saved"]))

    def listen(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with every event from now on. Returns a function that stops this."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    @property
    def is_open(self) -> bool:
        """Whether a scorer is connected."""
        return self._rescorer is not None

    @property
    def transport(self) -> Transport:
        """The connection to the scorer's server; requires `open`."""
        return self._source.transport

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the prompt; requires `open`."""
        return self._source.tokenizer

    @property
    def prompt(self) -> Prompt:
        """The tokenised session; requires `open`."""
        if self._prompt is None:
            raise RuntimeError("the run is not open")
        return self._prompt

    async def open(self) -> None:
        """Start or connect to the scorer and tokenise the session; does nothing if already open.

        Raises:
            MemscopeError: No scorer is available, or it cannot score the session.
        """
        async with self._opening:
            if self._rescorer is not None:
                return
            self._set_state("starting")
            self.notices.tell_session(self.session, self.settings)
            self.emit(ScorerStarting(self._source.description))
            try:
                scorer = await self._source.open(on_wait=lambda line: self.notices.tell([line]))
                self._rescorer = Rescorer(scorer, self._store)
                another = self.scorer is not None and self.scorer.model != scorer.info.model
                self._announce_scorer()
                if self._prompt is None or another:
                    await self._set_prompt(self.session, await self._source.render(self.session))
            except BaseException as error:
                await self._close_scorer()
                if isinstance(error, MemscopeError):
                    self._emit_failure(error)
                else:
                    self._set_state("idle")
                raise
            self._set_state("ready")

    async def replace_session(self, session: Session) -> None:
        """Switch to a longer version of the session, keeping every scored cell, also while a matrix is being scored.

        New responses and memories are scored by the next `matrix`.

        Raises:
            MemscopeError: The session cannot be rendered; the run keeps the previous version.
        """
        async with self._opening:
            if self._prompt is not None:
                await self._set_prompt(session, await self._source.render_again(session))
            else:  # it is rendered once a scorer is open
                self.session, self.layout = session, layout_of(session)
                self._update_grid_layouts()

    async def matrix(
        self,
        measure: Measure = "necessity",
        *,
        keys: Sequence[str] | None = None,
        responses: Collection[str] | None = None,
        fresh: bool = False,
    ) -> None:
        """Score everything in a grid that is not scored yet, or only some rows or responses.

        Args:
            measure: Which grid.
            keys: The memory keys of the rows; None for all.
            responses: Response ids; None for all.
            fresh: Score again even if a score is known or stored.

        Raises:
            MemscopeError: The matrix cannot continue; finished rows are kept. A single failed row raises nothing.
        """
        await self.open()
        if self._job is not None and not self._job.done():
            raise RuntimeError("a matrix is being scored")
        self._job = asyncio.create_task(self._matrix(measure, keys, responses, fresh))
        try:
            await asyncio.shield(self._job)
        except asyncio.CancelledError:
            if not self._job.cancelled():  # the caller was cancelled, not the job
                self._job.cancel()
                with contextlib.suppress(asyncio.CancelledError, MemscopeError):
                    await self._job
                raise

    def pause(self) -> None:
        """Start no further rows until `resume`."""
        if self.state == "scoring":
            self._gate.clear()
            self._set_state("paused")

    def resume(self) -> None:
        """Continue after `pause`."""
        if self.state == "paused":
            self._gate.set()
            self._set_state("scoring")

    def cancel(self) -> None:
        """Stop the matrix, keeping finished rows."""
        if self._job is not None:
            self._job.cancel()

    async def tokens(self, measure: Measure, key: str, response: str) -> CellTokens:
        """Return one cell token by token, scoring it if needed.

        Args:
            measure: Which grid.
            key: The memory.
            response: The response's id.

        Raises:
            MemscopeError: The scorer failed, or returns no token-level values.
        """
        await self.open()
        return await cell_tokens(self.ablation_scorer(), self.tokenizer.token_texts, measure, key, response)

    def ablation_scorer(self) -> AblationScorer:
        """Return an object that scores ablations of this session into the table, for one job; requires `open`."""
        return AblationScorer(self.prompt, self.layout, self.table, self.rescorer)

    def report(self, measure: Measure) -> dict[str, Any]:
        """Return a grid as plain data; see `memscope.scoring.report.matrix_report`.

        Raises:
            UsageError: Nothing has been scored yet.
        """
        from memscope.scoring.report import matrix_report

        if self.scorer is None or self._prompt is None:
            raise UsageError("nothing has been scored yet")
        report = matrix_report(self.session.header, self.scorer, self.grids[measure], self.cost, self.seconds)
        report["session"]["template"] = self._prompt.template
        return report if measure == "necessity" else {**report, "measure": measure}

    async def restart_scorer(self) -> None:
        """Start the scorer again after it was lost.

        Raises:
            MemscopeError: The scorer does not start.
        """
        self.cancel()
        await self._close_scorer()
        await self.open()

    async def close(self) -> None:
        """Stop the matrix and close the scorer."""
        if self._job is not None and not self._job.done():
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)
        await self._close_scorer()
        await self.database.run(self._store.trim)  # queued after all earlier writes
        self._stop_listening()

    @property
    def rescorer(self) -> Rescorer:
        """The scorer with its score store; requires `open`."""
        if self._rescorer is None:
            raise ScorerGoneError("the scorer is gone")
        return self._rescorer

    async def _matrix(
        self, measure: Measure, keys: Sequence[str] | None, responses: Collection[str] | None, fresh: bool
    ) -> None:
        began = time.monotonic()
        self.cost = Cost()
        self._gate.set()
        self._set_state("scoring")
        grid = self.grids[measure]

        async def score() -> None:
            scorer = self.ablation_scorer()
            self.cost = scorer.cost
            emit = self.notices.watching(self.grids["necessity"])
            await MatrixJob(scorer, grid, emit, self._gate.wait, fresh, responses).run(keys)

        state: RunState = "failed"
        try:
            await self.retry_if_weights_change(score, tries=3)
            state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
        except ScorerGoneError as error:
            self.emit(ScorerLost(str(error), await self._source.final_output()))
            await self._close_scorer()
            raise
        except MemscopeError as error:
            self.emit(Failed(str(error)))
            raise
        finally:
            self.seconds = time.monotonic() - began
            self._finish(grid, state)

    def _finish(self, grid: Grid, state: RunState) -> None:
        self._gate.set()
        failed = sum(status == "failed" for status in grid.status)
        cost = self.cost
        self.emit(
            Finished(cost.calls, cost.tokens_naive, cost.tokens_forwarded, self.seconds, failed, state == "cancelled")
        )
        self.notices.tell(self._store.notes)
        self._set_state(state)

    async def retry_if_weights_change(self, score: Callable[[], Awaitable[T]], *, tries: int = 2) -> T:
        """Score with the weights in use now, and retry if they change meanwhile.

        Raises:
            WeightsChangedError: They changed during every try.
        """
        for left in reversed(range(tries)):
            await self.refresh_weights()
            weights = self.rescorer.weights
            try:
                result = await score()
                self.rescorer.check_weights(weights)
                return result
            except WeightsChangedError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def refresh_weights(self) -> None:
        """Ask the scorer for its weights; if they changed, clear the grids and keep the old ones in `earlier_grids`."""
        await self.rescorer.scorer.refresh()
        if self.scorer is None or self.scorer.weights != self.rescorer.scorer.info.weights:
            self._announce_scorer()

    def _announce_scorer(self) -> None:
        info = self.rescorer.scorer.info
        if self.scorer is not None and self.scorer.weights != info.weights:
            self._keep_earlier_grids()
        self.scorer = ScorerReady(
            info.kind, info.model, info.dtype, info.url, info.dialect, info.weights, info.verified
        )
        self.emit(self.scorer)
        self.notices.tell_scorer(self.layout, self.scorer)
        self.notices.tell([*self.database.notes, *info.notes])

    def _keep_earlier_grids(self) -> None:
        self.table = AblationTable()
        for measure, grid in self.grids.items():
            if not grid.blank:
                self.earlier_grids[measure] = grid.with_layout(grid.layout)
            grid.set_table(self.table)

    async def _set_prompt(self, session: Session, prompt: Prompt) -> None:
        """Switch to a session and its prompt, dropping scores that are no longer valid."""
        layout, before = layout_of(session).with_token_counts(prompt), self._prompt
        if before is not None:
            self.table.forget(await asyncio.to_thread(changed_responses, before, self.layout, prompt, layout))
        self.session, self.layout, self._prompt = session, layout, prompt
        self._update_grid_layouts()
        self.notices.tell_session(session, self.settings)
        self.notices.tell(prompt.notes)
        self.emit(PromptReady(prompt.tokens, prompt.template))

    def _update_grid_layouts(self) -> None:
        for grid in self.grids.values():
            grid.set_layout(self.layout)

    async def _close_scorer(self) -> None:
        self._rescorer = None
        await self._source.close()

    def _emit_failure(self, error: MemscopeError) -> None:
        if isinstance(error, ScorerGoneError):
            self.emit(ScorerLost(str(error), self._source.last_lines()))
        else:
            self.emit(Failed(str(error)))
        self._set_state("failed")

    def _set_state(self, state: RunState) -> None:
        if state != self.state:
            self.state = state
            self.emit(StateChanged(state))

    def emit(self, event: Event) -> None:
        """Send an event to every listener."""
        for listener in tuple(self._listeners):
            listener(event)
