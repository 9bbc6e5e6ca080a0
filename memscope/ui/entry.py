"""The line in which something is typed: bounded, and of characters that can be shown."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

__all__ = ["Entry"]


class Entry(Input):
    """An input that takes of a pasted text what fits: its first line, without characters that a terminal obeys."""

    def on_paste(self, event: events.Paste) -> None:
        """Insert a pasted text at the cursor, or instead of what is selected."""
        event.stop()
        event.prevent_default()
        line = next(iter(event.text.splitlines()), "")
        start, end = sorted(self.selection)
        room = self.max_length - (len(self.value) - (end - start)) if self.max_length else len(line)
        self.replace("".join(c for c in line if c.isprintable())[: max(0, room)], start, end)
