"""The public Python API: score a session and get its matrix."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from memscope.config import load_config
from memscope.errors import MemscopeError
from memscope.scoring.grid import Measure
from memscope.scoring.report import matrix_csv
from memscope.session.load import load_session
from memscope.session.nodes import Session
from memscope.terminal.counts import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from memscope.config import Config
    from memscope.scoring.events import Event

__all__ = ["Matrix", "MemscopeError", "load", "score"]

T = TypeVar("T")


class Matrix:
    """The divergence of every response for every memory.

    Attributes:
        keys: Memory keys in order of first appearance.
        responses: Response ids in order.
        report: The data that `memscope score --format json` prints.
    """

    def __init__(self, report: dict[str, Any]) -> None:
        """Wrap a report made by `memscope.scoring.report.matrix_report`."""
        self.report = report
        self.keys: tuple[str, ...] = tuple(memory["key"] for memory in report["memories"])
        self.responses: tuple[str, ...] = tuple(response["id"] for response in report["responses"])

    def __repr__(self) -> str:
        memories, responses = counted(len(self.keys), "memory", "memories"), counted(len(self.responses), "response")
        return f"<Matrix of {memories} x {responses}, scored by {self.report['scorer']['model']}>"

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Signed nats, shape (memories, responses); NaN where a cell was not scored or failed."""
        import numpy as np

        rows = [[np.nan if value is None else value for value in row] for row in self.report["divergence"]]
        return np.array(rows, dtype=np.float64).reshape(len(self.keys), len(self.responses))

    @property
    def noise_floor(self) -> float | None:
        """Differences of at most this many nats are indistinguishable from zero; None if it was not measured."""
        floor: float | None = self.report["noise_floor"]
        return floor

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return msgspec.json.encode(self.report).decode()

    def to_csv(self) -> str:
        """Return the matrix as CSV text: one row per memory, one column per response, empty where not scored."""
        return matrix_csv(self.report)


def load(
    path: str | PathLike[str],
    *,
    rules: Sequence[str] | None = None,
    memory_regex: str | None = None,
    source_format: str | None = None,
    project: str | PathLike[str] | None = None,
    pick: str | None = None,
) -> Session:
    """Read a session file in any supported format.

    Args:
        path: The file.
        rules: Names of the memory rules to apply to the texts of a session; None for all but
            `paragraphs` and `search-results`.
        memory_regex: A custom detector: a regular expression with optional groups `key`, `text`, `memory`, `items`.
        source_format: The name of the file's format; by default it is determined from the content.
        project: The folder of the project, to read memory files from that an agent's transcript lacks.
        pick: The conversation to read from a file with several: the id of a sample or of an agent.

    Raises:
        SessionError: The file is invalid or unreadable; the message names file, line and field.
    """
    return load_session(
        fspath(path),
        rules=rules,
        pattern=memory_regex,
        source_format=source_format,
        project=None if project is None else fspath(project),
        pick=pick,
    )


def score(
    session: Session | str | PathLike[str],
    *,
    measure: Measure = "necessity",
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Matrix:
    """Score the full matrix of a session and wait for the result. Scores stored by earlier runs are reused.

    It can be called while an event loop is running, as in a notebook.

    Args:
        session: A session, or the path of one.
        measure: "necessity" (leave one out) or "sufficiency" (this one alone).
        on_event: Called with every event of the run, on the scoring thread.
        options: `model`, `url`, `tokenizer`, `state` and all other command-line options, by their names in the
            configuration file.

    Raises:
        MemscopeError: No scorer is available, or it cannot score this session. A failed row raises nothing: its
            values are NaN.
    """
    config = load_config(options)
    if not isinstance(session, Session):
        session = load(
            session,
            rules=config.rules,
            memory_regex=config.memory_regex,
            source_format=config.source_format,
            project=config.project,
            pick=config.pick,
        )
    return _run(_score(session, config, measure, on_event))


async def _score(
    session: Session, config: Config, measure: Measure, on_event: Callable[[Event], None] | None
) -> Matrix:
    from memscope.run.context import run_context

    async with run_context(session, config, *([on_event] if on_event else [])) as run:
        await run.matrix(measure)
        return Matrix(run.report(measure))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion, in another thread if this one has a running event loop.

    Interrupting this thread cancels it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: Future[T] = Future()
    cancel: Future[Callable[[], object]] = Future()

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        cancel.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await task

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(cancellable()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="memscope")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        with contextlib.suppress(RuntimeError):  # it has just ended by itself
            cancel.result()()
        raise
    finally:
        thread.join()
