"""A text input with a length limit and only printable characters."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

__all__ = ["Entry"]


class Entry(Input):
    """An input that accepts the first line of pasted text, without control characters, up to its length limit."""

    def on_paste(self, event: events.Paste) -> None:
        """Insert pasted text at the cursor, replacing the selection."""
        event.stop()
        event.prevent_default()
        line = next(iter(event.text.splitlines()), "")
        start, end = sorted(self.selection)
        room = self.max_length - (len(self.value) - (end - start)) if self.max_length else len(line)
        self.replace("".join(c for c in line if c.isprintable())[: max(0, room)], start, end)
