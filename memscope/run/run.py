"""One run: a session, a scorer and a store, with events out.

The screen and the commands are two faces of this class and hold no logic of their own: whatever they can do, a script
or a test can do with a `Run`. All methods belong to one asyncio loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from memscope.config import Config
from memscope.errors import MemscopeError, ScorerGoneError
from memscope.prompt.prompt import Prompt
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
    Trouble,
)
from memscope.scoring.grid import Grid, Measure
from memscope.scoring.matrix import MatrixJob
from memscope.scoring.rescoring import Cost, Rescorer, WeightsChangedError
from memscope.scoring.shape import columns_of, rows_of
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.store.scores import ScoreStore
from memscope.store.settings import Settings

if TYPE_CHECKING:
    from memscope.engines.transport import Transport
    from memscope.prompt.tokenizer import Tokenizer

__all__ = ["CellTokens", "Run", "State"]

T = TypeVar("T")

State: TypeAlias = Literal["idle", "starting", "ready", "scoring", "paused", "done", "cancelled", "failed"]


class CellTokens(msgspec.Struct, frozen=True):
    """One response token by token, with and without a memory.

    Attributes:
        texts: One text a token; joined they are the response.
        with_memory: Log-probability of each token in nats, everything present.
        without_memory: The same with the memory left out.
    """

    texts: tuple[str, ...]
    with_memory: tuple[float, ...]
    without_memory: tuple[float, ...]


class Run:
    """One session measured by one scorer, remembered in one store.

    Attributes:
        session: What is measured.
        config: All options.
        grids: One a measure; they exist, unscored, from the beginning.
        earlier: The grids as they were before the scorer's weights last changed.
        database: The state database.
        settings: Small values that outlive the run.
        scorer: Who answers, once known.
        state: What the run is doing.
        cost: What the last matrix asked of the scorer.
        seconds: How long it took.
    """

    def __init__(self, session: Session, config: Config, database: Database) -> None:
        self.session = session
        self.config = config
        rows, columns = rows_of(session), columns_of(session)
        self.grids: dict[Measure, Grid] = {"necessity": Grid(rows, columns), "sufficiency": Grid(rows, columns)}
        self.earlier: dict[Measure, Grid] = {}
        self.settings = Settings(database)
        self.scorer: ScorerReady | None = None
        self.state: State = "idle"
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
        self._said: set[str] = set()

    def listen(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with every event from now on; the result ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    @property
    def is_open(self) -> bool:
        """Whether there is a scorer."""
        return self._rescorer is not None

    @property
    def transport(self) -> Transport:
        """The connection to the scorer's server; `open` first."""
        return self._source.transport

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the prompt; `open` first."""
        return self._source.tokenizer

    @property
    def prompt(self) -> Prompt:
        """The tokenised session; `open` first."""
        if self._prompt is None:
            raise RuntimeError("the run is not open")
        return self._prompt

    async def open(self) -> None:
        """Start or ask the scorer and tokenise the session; does nothing when that is done.

        Raises:
            MemscopeError: There is no scorer, or the session cannot be scored by it.
        """
        async with self._opening:
            if self._rescorer is not None:
                return
            self._become("starting")
            self.emit(ScorerStarting(self._source.description))
            try:
                scorer = await self._source.open()
                self._rescorer = Rescorer(scorer, self._store)
                another = self.scorer is not None and self.scorer.model != scorer.info.model
                self._announce()
                if self._prompt is None or another:
                    self._adopt(await self._source.render(self.session))
            except BaseException as error:
                await self._abandon()
                if isinstance(error, MemscopeError):
                    self._fail(error)
                else:
                    self._become("idle")
                raise
            self._become("ready")

    async def matrix(
        self,
        measure: Measure = "necessity",
        *,
        rows: Sequence[int] | None = None,
        column: int | None = None,
        fresh: bool = False,
    ) -> None:
        """Score a grid: everything that is not scored yet, or just these rows or this response.

        Args:
            measure: Which grid.
            rows: Row indices; None is all.
            column: A response's index; None is all.
            fresh: Ask the scorer again even where a score is remembered.

        Raises:
            MemscopeError: The matrix cannot go on; finished rows stay. A single row's failure raises nothing.
        """
        await self.open()
        if self._job is not None and not self._job.done():
            raise RuntimeError("a matrix is being scored")
        columns = None if column is None else (column,)
        self._job = asyncio.create_task(self._matrix(measure, rows, columns, fresh))
        try:
            await asyncio.shield(self._job)
        except asyncio.CancelledError:
            if not self._job.cancelled():  # it is the caller that is being cancelled
                self._job.cancel()
                with contextlib.suppress(asyncio.CancelledError, MemscopeError):
                    await self._job
                raise

    def pause(self) -> None:
        """Start no further row until `resume`."""
        if self.state == "scoring":
            self._gate.clear()
            self._become("paused")

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.state == "paused":
            self._gate.set()
            self._become("scoring")

    def cancel(self) -> None:
        """Stop the matrix; finished rows stay."""
        if self._job is not None:
            self._job.cancel()

    async def tokens(self, measure: Measure, row: int, column: int) -> CellTokens:
        """Return one cell token by token; scores what is not remembered.

        Raises:
            MemscopeError: The scorer failed, or gives no token values.
        """
        await self.open()
        memory = self.prompt.memories[row]
        keys = {other.key for other in self.prompt.memories}
        full, less = (frozenset(), {memory.key}) if measure == "necessity" else (keys - {memory.key}, keys)
        values, weights = [], self.rescorer.weights
        for without in (full, less):
            scores = await self.rescorer.score(self.prompt.variants(without, responses=(column,)))
            values.append(tuple(scores[column].tokens))
        self.rescorer.expect(weights)
        texts = self.tokenizer.token_texts(self.prompt.continuation_ids(column))
        if len(texts) != len(values[0]):
            raise MemscopeError(f"the scorer gives no values for single tokens ({self.rescorer.scorer.info.dialect})")
        return CellTokens(tuple(texts), values[0], values[1])

    async def restart_scorer(self) -> None:
        """Start the scorer anew after it was lost.

        Raises:
            MemscopeError: It does not start.
        """
        self.cancel()
        await self._abandon()
        await self.open()

    async def close(self) -> None:
        """End the matrix, the scorer and what belongs to it."""
        if self._job is not None and not self._job.done():
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)
        await self._abandon()
        await asyncio.to_thread(self._store.trim)

    @property
    def rescorer(self) -> Rescorer:
        """Where scores come from; `open` first."""
        if self._rescorer is None:
            raise ScorerGoneError("the scorer is gone")
        return self._rescorer

    async def _matrix(
        self, measure: Measure, rows: Sequence[int] | None, columns: Sequence[int] | None, fresh: bool
    ) -> None:
        self.rescorer.cost = self.cost = Cost()
        began = time.monotonic()
        self._gate.set()
        self._become("scoring")
        grid = self.grids[measure]
        state: State = "failed"
        try:
            await self.of_one_model(
                lambda: MatrixJob(
                    self.prompt, self.rescorer, grid, measure, self.emit, self._gate.wait, fresh, columns
                ).run(rows),
                tries=3,
            )
            state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
        except ScorerGoneError as error:
            self.emit(ScorerLost(str(error), await self._source.last_words()))
            await self._abandon()
            raise
        except MemscopeError as error:
            self.emit(Failed(str(error)))
            raise
        finally:
            self.seconds = time.monotonic() - began
            self._finish(grid, state)

    def _finish(self, grid: Grid, state: State) -> None:
        self._gate.set()
        failed = sum(status == "failed" for status in grid.status)
        cost = self.cost
        self.emit(
            Finished(cost.calls, cost.tokens_naive, cost.tokens_forwarded, self.seconds, failed, state == "cancelled")
        )
        self._say(self._store.notes)
        self._become(state)

    async def of_one_model(self, score: Callable[[], Awaitable[T]], *, tries: int = 2) -> T:
        """Score with the weights in use now; again when a job changed them meanwhile.

        Raises:
            WeightsChangedError: They changed under every try.
        """
        for left in reversed(range(tries)):
            await self.follow_weights()
            weights = self.rescorer.weights
            try:
                result = await score()
                self.rescorer.expect(weights)
                return result
            except WeightsChangedError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def follow_weights(self) -> None:
        """Ask the scorer for its weights; after new ones no old number is shown, but `earlier` keeps them."""
        await self.rescorer.scorer.refresh()
        if self.scorer is None or self.scorer.weights != self.rescorer.scorer.info.weights:
            self._announce()

    def _announce(self) -> None:
        info = self.rescorer.scorer.info
        if self.scorer is not None and self.scorer.weights != info.weights:
            self._set_aside()
        self.scorer = ScorerReady(info.kind, info.model, info.dtype, info.url, info.dialect, info.weights)
        self.emit(self.scorer)
        self._say([*self.database.notes, *info.notes])

    def _set_aside(self) -> None:
        for measure, grid in self.grids.items():
            if not grid.blank:
                self.earlier[measure] = copy.deepcopy(grid)
            grid.clear()

    def _adopt(self, prompt: Prompt) -> None:
        self._prompt = prompt
        rows = {row.key: row for row in rows_of(self.session)}
        columns = {column.entry_index: column for column in columns_of(self.session)}
        new_rows = tuple(replace(rows[m.key], tokens=m.tokens, first_column=m.first_response) for m in prompt.memories)
        new_columns = tuple(replace(columns[r.entry_index], index=r.index, tokens=r.tokens) for r in prompt.responses)
        for grid in self.grids.values():
            grid.reshape(new_rows, new_columns)
        self._say(prompt.notes)
        self.emit(PromptReady(prompt.tokens))

    async def _abandon(self) -> None:
        self._rescorer = None
        await self._source.close()

    def _fail(self, error: MemscopeError) -> None:
        if isinstance(error, ScorerGoneError):
            self.emit(ScorerLost(str(error), self._source.last_lines()))
        else:
            self.emit(Failed(str(error)))
        self._become("failed")

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.emit(StateChanged(state))

    def _say(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self._said:
                self._said.add(note)
                self.emit(Trouble(note))

    def emit(self, event: Event) -> None:
        """Tell every listener."""
        for listener in tuple(self._listeners):
            listener(event)
