"""What a run tells its user in words, each line once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from memscope.errors import MemscopeError
from memscope.run.session_ids import shared_id_warning
from memscope.scoring.events import BaselineDone, Event, Failed, Notice, ScorerReady, SessionNotes
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Layout
from memscope.scoring.plausibility import answered_by_another, doubt
from memscope.session.nodes import Session, SourceContext
from memscope.store.settings import Settings

__all__ = ["Notices"]

_INCOMPLETE: Mapping[SourceContext, str] = {
    "reconstructed": "reconstructed: the file does not hold all that the model saw",
    "from disk": "from disk: memory files were read as they are now, not as the model saw them",
}
"""What is told of a session that is not whole."""

_NUMBER = re.compile(r"\d[\d.,]*")


class Notices:
    """Emits lines, none of them twice.

    A line about the session or its model is not repeated with other numbers either: they change while a session is
    followed.

    Attributes:
        model_doubted: Whether the model hardly expects most of the responses.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        """Create notices that are emitted as events."""
        self._emit = emit
        self._told: set[str] = set()
        self.model_doubted = False

    def tell(self, lines: Iterable[str]) -> None:
        """Emit the lines that were not emitted yet, exactly as they are."""
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._emit(Notice(line))

    def fail(self, error: MemscopeError, *, once: bool) -> None:
        """Emit the failure of an operation; `once`, for those that are repeated, leaves out what was told before."""
        if not once or self._is_news(str(error)):
            self._emit(Failed(str(error)))

    def tell_session(self, session: Session, settings: Settings) -> None:
        """Emit how complete the session is, what was skipped or guessed, and whether its id is another's too."""
        source = session.source
        lines = [_INCOMPLETE[source.context], *source.notes] if source.context in _INCOMPLETE else source.notes
        told = self._told.copy()  # lines of one session that differ in numbers alone are several
        if new := [line for line in lines if _kind(line) not in told]:
            self._told.update(map(_kind, new))
            self._emit(SessionNotes(tuple(new)))
        self._tell_once(shared_id_warning(session, settings))

    def tell_scorer(self, layout: Layout, scorer: ScorerReady) -> None:
        """Emit a line if the model that scores is not the one that answered."""
        self._tell_once(answered_by_another(layout, scorer.model))

    def watching(self, grid: Grid) -> Callable[[Event], None]:
        """Return a function that emits events, each notice once, and after each baseline questions the model.

        Args:
            grid: The grid whose baseline is the prompt with all memories.
        """

        def emit(event: Event) -> None:
            if isinstance(event, Notice):
                self._tell_once(event.text)
                return
            self._emit(event)
            if isinstance(event, BaselineDone):
                question = doubt(grid)
                self.model_doubted = question is not None
                self._tell_once(question)

        return emit

    def _tell_once(self, line: str | None) -> None:
        if line is not None and self._is_news(line):
            self._emit(Notice(line))

    def _is_news(self, line: str) -> bool:
        kind = _kind(line)
        is_new = kind not in self._told
        self._told.add(kind)
        return is_new


def _kind(line: str) -> str:
    return _NUMBER.sub("#", line)
