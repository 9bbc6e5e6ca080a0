"""One run: a session, a scorer and a store, emitting events.

The screen and the commands are frontends of this class without logic of their own: a script or a test can do whatever
they can with a `Run`. All methods must be called on one event loop. Memories are identified by key and responses by
id; positions belong to one layout, and the session may be replaced by a longer one while a matrix is being scored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from memscope.config import Config
from memscope.errors import MemscopeError, PromptError, ScorerGoneError, UsageError
from memscope.prompt.prompt import Prompt
from memscope.run.event_source import EventSource
from memscope.run.job_slot import JobSlot
from memscope.run.notices import Notices
from memscope.run.source import ScorerSource
from memscope.scoring.events import (
    Failed,
    Finished,
    PromptReady,
    ScorerLost,
    ScorerReady,
    ScorerStarting,
    SessionGrown,
    StateChanged,
)
from memscope.scoring.grid import MEASURES, Grid, Measure
from memscope.scoring.growth import changed_responses
from memscope.scoring.layout import Layout, layout_of
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


class Run(EventSource):
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
        super().__init__()
        self.session, self.config, self.database = session, config, database
        self.layout = layout_of(session)
        self.table = AblationTable()
        self.grids: dict[Measure, Grid] = {measure: Grid(self.layout, self.table, measure) for measure in MEASURES}
        self.earlier_grids: dict[Measure, Grid] = {}
        self.settings = Settings(database)
        self.scorer: ScorerReady | None = None
        self.state: RunState = "idle"
        self.cost, self.seconds = Cost(), 0.0
        self._store = ScoreStore(database)
        self._source = ScorerSource(config)
        self._rescorer: Rescorer | None = None
        self._prompt: Prompt | None = None
        self._opening, self._rendering = asyncio.Lock(), asyncio.Lock()
        self._gate = asyncio.Event()
        self._gate.set()
        self._slot = JobSlot()
        self.notices = Notices(self.emit)
        self._stop_listening = database.listen(lambda error: self.notices.tell([f"{error}: a setting was not saved"]))

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
        """The tokenised session; requires `open`, and a session that can be rendered."""
        if self._prompt is None:
            raise PromptError("nothing can be scored yet: the session has no responses")
        return self._prompt

    @property
    def is_awaited(self) -> bool:
        """Whether another matrix waits for its turn."""
        return self._slot.is_awaited

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
                    await self._source.load_tokenizer()
                    async with self._rendering:
                        await self._render(self.session)
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
        async with self._rendering:
            if self._source.can_render:
                await self._render(session)
            else:  # it is rendered once a scorer is open
                self._use_layout(session, await asyncio.to_thread(layout_of, session))

    async def matrix(
        self,
        measure: Measure = "necessity",
        *,
        keys: Sequence[str] | None = None,
        responses: Collection[str] | None = None,
        fresh: bool = False,
        stop: Callable[[], bool] = lambda: False,
        routine: bool = False,
    ) -> None:
        """Score everything in a grid that is not scored yet, or only some rows or responses.

        One matrix is scored at a time; another one waits for its turn.

        Args:
            measure: Which grid.
            keys: The memory keys of the rows; None for all.
            responses: Response ids; None for all.
            fresh: Score again even if a score is known or stored.
            stop: Asked before each row; once it returns True, no further rows are started.
            routine: Whether this is one of many that follow a growing session; see `Finished`.

        Raises:
            MemscopeError: The matrix cannot continue; finished rows are kept. A single failed row raises nothing.
        """

        def job(scorer: AblationScorer) -> MatrixJob:
            emit = self.notices.watching(self.grids["necessity"])
            return MatrixJob(scorer, self.grids[measure], emit, self._gate.wait, stop, fresh, responses)

        async def work() -> None:
            await self.open()
            await self._matrix(measure, keys, job, routine)

        await self._slot.run(work)

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
        self._slot.cancel()

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
        report["session"] |= {"template": self._prompt.template, "context": self.session.source.context}
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
        await self._slot.close()
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
        self, measure: Measure, keys: Sequence[str] | None, job: Callable[[AblationScorer], MatrixJob], routine: bool
    ) -> None:
        began = time.monotonic()
        self.cost = Cost()
        self._gate.set()
        self._set_state("scoring")

        async def score() -> None:
            scorer = self.ablation_scorer()
            self.cost = scorer.cost
            await job(scorer).run(keys)

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
            self.notices.fail(error, once=routine)
            raise
        finally:
            self.seconds = time.monotonic() - began
            self._finish(self.grids[measure].status.count("failed"), state, routine)

    def _finish(self, failed: int, state: RunState, routine: bool) -> None:
        self._gate.set()
        cost = self.cost
        tokens = cost.tokens_naive, cost.tokens_forwarded
        self.emit(Finished(cost.calls, *tokens, self.seconds, failed, state == "cancelled", routine))
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

    async def _render(self, session: Session) -> None:
        """Switch to a session; one without responses is shown even if the model's template cannot render it yet."""
        try:
            await self._set_prompt(session, await self._source.render(session))
        except PromptError:
            if (layout := await asyncio.to_thread(layout_of, session)).columns:
                raise
            self._prompt = None
            self.table.forget(self.layout.responses)
            self._use_layout(session, layout)

    async def _set_prompt(self, session: Session, prompt: Prompt) -> None:
        """Switch to a session and its prompt, dropping scores that are no longer valid."""
        layout = await asyncio.to_thread(lambda: layout_of(session).with_token_counts(prompt))
        if (before := self._prompt) is not None:
            self.table.forget(await asyncio.to_thread(changed_responses, before, self.layout, prompt, layout))
        self._prompt = prompt
        self._use_layout(session, layout)
        self.notices.tell(prompt.notes)
        if before is None or not before.tokens or before.template != prompt.template:
            self.emit(PromptReady(prompt.tokens, prompt.template))

    def _use_layout(self, session: Session, layout: Layout) -> None:
        self.session, self.layout = session, layout
        for grid in self.grids.values():
            grid.set_layout(layout)
        self.notices.tell_session(session, self.settings)
        self.emit(SessionGrown(len(layout.rows), len(layout.columns)))

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
