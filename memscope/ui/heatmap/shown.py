"""Which responses the heatmap shows: all, without side calls, or those of one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal, TypeAlias

from memscope.scoring.layout import Column
from memscope.terminal.counts import counted

__all__ = ["ShownColumns", "ThreadChoice"]

ThreadChoice: TypeAlias = Literal["main", "all"] | int
"""Without side calls, everything, or the number of one thread."""


class ShownColumns:
    """The shown responses of one layout.

    Attributes:
        choice: What is shown.
        positions: Ascending positions of the shown responses in the layout.
        threads: Number of threads in the layout.
        hidden: Number of responses that are not shown.
    """

    def __init__(self, columns: Sequence[Column], choice: ThreadChoice = "main") -> None:
        self.choice = choice
        self._columns = columns
        self.threads = len({column.thread for column in columns})
        shown = [place for place, column in enumerate(columns) if self._is_shown(column)]
        self.positions: Sequence[int] = range(len(columns)) if len(shown) == len(columns) else shown
        self.hidden = len(columns) - len(shown)

    def __len__(self) -> int:
        """Return the number of shown responses."""
        return len(self.positions)

    def _is_shown(self, column: Column) -> bool:
        match self.choice:
            case "all":
                return True
            case "main":
                return not column.side
            case number:
                return column.thread == number

    def number(self, place: int) -> int:
        """Return the index of the shown response at a place, as shown to users."""
        return self._columns[self.positions[place]].index

    def thread(self, place: int) -> int:
        """Return the thread of the shown response at a place."""
        return self._columns[self.positions[place]].thread

    def place_of(self, position: int) -> int:
        """Return the place of a response by its position in the layout, or of the next one if it is hidden."""
        return min(bisect_left(self.positions, position), max(0, len(self) - 1))

    def next_choice(self, thread: int | None) -> ThreadChoice:
        """Return the next choice: without side calls, everything, the thread under the cursor.

        Args:
            thread: That thread; None if there is no response under the cursor.
        """
        match self.choice:
            case "main":
                return "all"
            case "all" if thread is not None:
                return thread
            case _:
                return "main" if any(column.side for column in self._columns) else "all"

    @property
    def words(self) -> str:
        """What is not shown, in a few words; "" if everything is."""
        if not self.hidden:
            return ""
        return f"{counted(self.hidden, 'side call')} hidden" if self.choice == "main" else f"thread {self.choice} only"
