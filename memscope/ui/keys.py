"""The key bindings of the screen; their ids are used by the help and for remapping in the configuration.

None uses ctrl+a, b, s, j, o, h, i or m, which multiplexers and terminals reserve. Descriptions are short, for the line
of hints; tooltips are complete, for the help.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding, BindingType

__all__ = [
    "APP",
    "CANDIDATES",
    "DETAIL",
    "DIALOG",
    "DIFF",
    "GROUPS",
    "HEATMAP",
    "HEATMAP_PANE",
    "LOG",
    "REVIEW",
    "WORKSPACE",
    "bindings_by_id",
    "check_keymap",
    "default_keys",
    "known_ids",
]


def _key(id: str, key: str, action: str, short: str, full: str, *, show: bool = False) -> Binding:  # noqa: A002
    return Binding(key, action, short, show=show, tooltip=full, id=id)


HEATMAP: list[BindingType] = [
    _key("cursor.up", "up,k", "move(-1, 0)", "up", "Move the cursor up"),
    _key("cursor.down", "down,j", "move(1, 0)", "down", "Move the cursor down"),
    _key("cursor.left", "left,h", "move(0, -1)", "left", "Move the cursor left"),
    _key("cursor.right", "right,l", "move(0, 1)", "right", "Move the cursor right"),
    _key("cursor.page_up", "pageup", "page(-1)", "page up", "Move up by a page"),
    _key("cursor.page_down", "pagedown", "page(1)", "page down", "Move down by a page"),
    _key("cursor.first", "home", "edge('left')", "first", "Go to the first response"),
    _key("cursor.last", "end", "edge('right')", "last", "Go to the last response"),
    _key("cursor.top", "ctrl+home", "edge('top')", "top", "Go to the first memory"),
    _key("cursor.bottom", "ctrl+end", "edge('bottom')", "bottom", "Go to the last memory"),
    _key("open", "enter", "open", "open", "Drill down: the cell token by token", show=True),
    _key("newest", "F", "newest", "newest", "Ride on the newest response, like tail -f; again stops that"),
]

HEATMAP_PANE: list[BindingType] = [
    _key("sort", "s", "sort", "sort", "Sort: appearance, importance, maximum, key", show=True),
    _key("filter", "slash", "filter", "filter", "Show memories whose key or text contains …", show=True),
    _key("zoom", "z", "zoom", "zoom", "Zoom: full cells, half blocks, overview", show=True),
    _key("scale", "c", "scale", "scale", "Scale: symlog, linear, rank", show=True),
    _key("rescale", "f", "rescale", "fit", "Fit the scale to the largest value", show=True),
    _key("threads", "T", "threads", "threads", "Threads: without side calls, all, the one under the cursor"),
    _key("signed", "v", "signed", "signed", "Signed: show or hide negative divergences", show=True),
]

DETAIL: list[BindingType] = [
    _key("detail.up", "up,k", "scroll_up", "up", "Scroll up"),
    _key("detail.down", "down,j", "scroll_down", "down", "Scroll down"),
]

LOG: list[BindingType] = [
    _key("log.up", "up,k", "scroll_up", "up", "Scroll up"),
    _key("log.down", "down,j", "scroll_down", "down", "Scroll down"),
]

CANDIDATES: list[BindingType] = [
    _key("candidate.up", "up,k", "move(-1)", "up", "Move up"),
    _key("candidate.down", "down,j", "move(1)", "down", "Move down"),
    _key("candidate.page_up", "pageup", "page(-1)", "page up", "Move up by a page"),
    _key("candidate.page_down", "pagedown", "page(1)", "page down", "Move down by a page"),
    _key("candidate.first", "home", "edge(False)", "first", "Go to the first candidate"),
    _key("candidate.last", "end", "edge(True)", "last", "Go to the last candidate"),
    _key(
        "candidate.approve",
        "a",
        "decide('approved')",
        "approve",
        "Approve; press again to undo",
        show=True,
    ),
    _key("candidate.reject", "x", "decide('rejected')", "reject", "Reject; press again to undo", show=True),
    _key("candidate.select", "space", "choose", "select", "Select several, to approve or reject them", show=True),
    _key(
        "candidate.send",
        "t",
        "send",
        "train",
        "Send the approved, or else the selected, to training",
        show=True,
    ),
    _key("candidate.alternates", "g", "toggle_alternates", "alternates", "Turn alternates on or off", show=True),
    _key("candidate.raise", "plus,equals_sign", "threshold(True)", "raise", "Raise the threshold", show=True),
    _key("candidate.lower", "minus", "threshold(False)", "lower", "Lower the threshold", show=True),
    _key("candidate.find", "r", "find", "re-score", "Score without memories again: before → after", show=True),
    _key("candidate.open", "enter", "open_diff", "diff", "Compare the response with its alternate", show=True),
]

DIFF: list[BindingType] = [
    _key("diff.up", "up,k", "scroll_up", "up", "Scroll up"),
    _key("diff.down", "down,j", "scroll_down", "down", "Scroll down"),
    _key("diff.previous", "left,h", "step(-1)", "previous", "Go to the candidate before", show=True),
    _key("diff.next", "right,l", "step(1)", "next", "Go to the next candidate", show=True),
    _key("diff.approve", "a", "decide('approved')", "approve", "Approve; press again to undo", show=True),
    _key("diff.reject", "x", "decide('rejected')", "reject", "Reject; press again to undo", show=True),
    _key("diff.send", "t", "send", "train", "Send the approved to training, after a review", show=True),
    _key("diff.alternates", "g", "toggle_alternates", "alternates", "Turn alternates on or off", show=True),
]

REVIEW: list[BindingType] = [
    _key("review.send", "enter", "send", "send", "Send, after a few seconds in which it can be cancelled", show=True),
    _key("review.context", "w", "context", "with/without", "Train with or without memories in the context", show=True),
    _key("review.cancel", "escape", "cancel", "cancel", "Send nothing", show=True),
]

WORKSPACE: list[BindingType] = [
    _key("next_pane", "tab", "next_pane(1)", "next pane", "Go to the next pane"),
    _key("previous_pane", "shift+tab", "next_pane(-1)", "previous pane", "Go to the previous pane"),
]

APP: list[BindingType] = [
    _key("measure", "n", "measure", "measure", "Switch between necessity and sufficiency", show=True),
    _key("pause", "p", "pause", "pause", "Pause or resume scoring", show=True),
    _key("score", "r", "score", "re-score", "Score again: a memory, a response, all …", show=True),
    _key("restart", "R", "restart", "restart", "Restart the scorer"),
    _key("export", "e", "export", "export", "Write the grid to a CSV or JSON file", show=True),
    _key("copy", "y", "copy", "copy", "Copy the selection, or the content of the pane", show=True),
    _key("back", "escape", "leave", "back", "Back; on the map, stop scoring (results are kept)", show=True),
    *(
        _key(f"pane.{digit}", str(digit), f"digit({digit})", name, f"Go to the {name}")
        for digit, name in enumerate(("heatmap", "detail", "candidates", "diff", "log"), 1)
    ),
    _key("delta", "d", "delta", "before/after", "Toggle between changes since training and the map", show=True),
    _key("help", "question_mark", "help", "help", "Keys of the focused pane", show=True),
    _key("quit", "q", "ask_quit", "quit", "Quit; asks if something is running or unsaved", show=True),
]

DIALOG: list[BindingType] = [
    _key("dialog.cancel", "escape", "cancel", "cancel", "Close without doing anything", show=True),
]


GROUPS = (APP, WORKSPACE, HEATMAP, HEATMAP_PANE, DETAIL, CANDIDATES, DIFF, LOG, DIALOG, REVIEW)
"""The bindings of all panes and dialogs."""


def bindings_by_id() -> dict[str, Binding]:
    """Return all bindings that can be remapped, by id."""
    return {binding.id: binding for group in GROUPS for binding in group if isinstance(binding, Binding) and binding.id}


def known_ids() -> frozenset[str]:
    """Return the ids of all bindings that can be remapped."""
    return frozenset(bindings_by_id())


def default_keys(name: str) -> str:
    """Return the default keys of a binding, separated by commas."""
    return bindings_by_id()[name].key


def check_keymap(keymap: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the valid entries of a keymap, and one message for each invalid entry."""
    known = known_ids()
    usable = {id_: keys for id_, keys in keymap.items() if id_ in known}
    lines = tuple(f"keymap: unknown binding {id_!r}; the help lists the names" for id_ in keymap if id_ not in known)
    return usable, lines
