"""The screen: composition and routing only.

Every key becomes an intent for the run or a pane; every event of the run arrives through the feed and is passed on to
the panes. The session and the empty grid are painted before the run starts.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.theme import BUILTIN_THEMES
from textual.widgets import Input, Static

from memscope.scoring.events import Event, Progress, SessionGrown
from memscope.scoring.grid import MEASURES, Measure
from memscope.terminal.safe import one_line, shorten
from memscope.ui.candidates.controller import CandidatesController
from memscope.ui.cell import CellWatch
from memscope.ui.clipboard import copy
from memscope.ui.comparison import Comparison
from memscope.ui.detail import DetailPane
from memscope.ui.export import Export
from memscope.ui.feed import Batch, Feed
from memscope.ui.heatmap.pane import HeatmapPane
from memscope.ui.help import Help, help_text
from memscope.ui.hints import Hints
from memscope.ui.intents import UserIntent
from memscope.ui.keys import APP, check_keymap
from memscope.ui.log import LogPane
from memscope.ui.options import UiOptions
from memscope.ui.palette import colours_of
from memscope.ui.panes import PANES, Workspace
from memscope.ui.quitting import RUNNING, QuitQuestion, quit_warning
from memscope.ui.rescore import Rescoring
from memscope.ui.score_queue import ScoreQueue, ScoreRequest
from memscope.ui.shell import AppShell, key_of
from memscope.ui.tasks import Tasks
from memscope.ui.title import Title

if TYPE_CHECKING:
    from memscope.run.following import Following
    from memscope.run.run import Run

__all__ = ["MemscopeApp", "run_app"]

_SMALLEST = (80, 24)
_QUIT_WINDOW_SECONDS = 3.0
_NOTICES_PER_FRAME = 3
_LAG_REFRESH_SECONDS = 1.0
_MARKS_REFRESH_SECONDS = 5.0
"""How often to check for decisions and shipments of other processes."""


class MemscopeApp(AppShell):
    """The memscope screen for one run.

    Attributes:
        measured: The run.
        options: The options of the screen.
        measure: The measure that is shown.
        candidates: The controller of the candidate panes.
    """

    CSS_PATH = "memscope.tcss"
    TITLE = "memscope"
    BINDINGS: ClassVar[list[BindingType]] = [
        *APP,
        Binding("ctrl+c", "interrupt", "interrupt", show=False, priority=True, system=True),
    ]

    def __init__(self, run: Run, options: UiOptions, following: Following | None = None) -> None:
        super().__init__()
        self._following = following
        self.measured = run
        self.options = options
        self.measure: Measure = "necessity"
        colours = options.colours or colours_of(self.console.color_system, self.no_color)
        self._heatmap = HeatmapPane(run.grids[self.measure], colours, id="heatmap")
        self._detail = DetailPane(colours, id="detail")
        self._log_pane = LogPane(id="log")
        self._title_line = Title(run, following)
        self._tasks = Tasks(self)
        self.candidates = CandidatesController(self, run, self._tasks)
        self._workspace = Workspace(
            {
                "heatmap": self._heatmap,
                "detail": self._detail,
                "candidates": self.candidates.pane,
                "diff": self.candidates.diff,
                "log": self._log_pane,
            }
        )
        self._score_queue = ScoreQueue(run, self._tasks.start)
        self._rescoring = Rescoring(self, run, self._score_queue, self._heatmap.view)
        self._export = Export(self, run)
        self._cell = CellWatch(run, self._heatmap.view, self._detail, self._tasks.start)
        self._comparison = Comparison(run, self._heatmap, self._title_line, self._cell)
        self._feed = Feed(self._deliver)
        self._stop_listening = (run.listen(self._feed), run.listen(self._follow_session))
        self._progress: Progress | None = None
        self._interrupted = -_QUIT_WINDOW_SECONDS

    def compose(self) -> ComposeResult:
        """Create the title, the panes, the key hints, and the message for terminals that are too small."""
        yield self._title_line
        yield self._workspace
        yield Hints(id="hints")
        yield Static(Content(""), id="too-small")

    def on_mount(self) -> None:
        """Apply the options that may be invalid, and schedule scoring after the first paint."""
        self._use_theme(self.options.theme)
        keymap, complaints = check_keymap(self.options.keymap)
        self.set_keymap(keymap)
        for line in complaints:
            self.say(line, warn=True)
        self._workspace.open("heatmap")
        self._show_waiting()
        # What was on the terminal is unknown after the process was stopped, and its size need not have changed.
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh(layout=True))
        self.call_after_refresh(self._painted)

    def _painted(self) -> None:
        """Start scoring and garbage collection after the first paint."""
        gc.enable()
        self.set_interval(_MARKS_REFRESH_SECONDS, self._refresh_marks)
        if self._following is not None:
            self.set_interval(_LAG_REFRESH_SECONDS, self._title_line.refresh)
            self._tasks.start(self._following.follow())
            self.log_line(f"following {self._following.name}; {key_of(self, 'newest')} stays on the newest response")
        elif self.options.score:
            self._score_queue.add(ScoreRequest(self.measure))

    def say(self, line: str, *, warn: bool = False) -> None:
        """Show a message as a notification and add it to the log."""
        self._log_pane.add([line])
        self.notify(shorten(line, 300), markup=False, severity="warning" if warn else "information", timeout=6)

    def log_line(self, line: str) -> None:
        """Add a line to the log."""
        self._log_pane.add([line])

    def on_app_focus(self) -> None:
        """Update decisions and shipments that another process changed."""
        self._refresh_marks()

    def _refresh_marks(self) -> None:
        self.run_worker(self.candidates.refresh_marks(), group="marks")

    def on_resize(self, event: events.Resize) -> None:
        """Show a message if the terminal is too small."""
        width, height = event.size
        small = width < _SMALLEST[0] or height < _SMALLEST[1]
        self.screen.set_class(small, "-too-small")
        words = f"memscope needs {_SMALLEST[0]}×{_SMALLEST[1]}; this is {width}×{height}"
        self.query_one("#too-small", Static).update(Content(words))

    # Events of the run.

    def _follow_session(self, event: Event) -> None:
        """Show a new version of the session at once: the grids have its shape already, also for the next paint."""
        if isinstance(event, SessionGrown) and self.is_running and self._title_line.is_attached:
            self._show_waiting()
            self._comparison.show(self.measure)

    def _deliver(self, batch: Batch) -> None:
        self.call_later(self._draw, batch)

    def _draw(self, batch: Batch) -> None:
        if not self.is_running or not self._title_line.is_attached:
            return
        if batch.reload:
            self._comparison.show(self.measure)
        else:
            self._comparison.refresh_rows(batch.rows.get(self.measure, ()))
        if batch.floor is not None:
            self._heatmap.set_floor(batch.floor)
        if batch.finished is not None:
            self._heatmap.filled()
        if batch.stripped:
            self._heatmap.stripped_known()
        self._tell(batch)
        if batch.candidates_changed:
            self.candidates.take(batch)
        self._progress = batch.progress or self._progress
        self._title_line.update_run(self.measure, self._progress)

    def _show_waiting(self) -> None:
        following, layout = self._following, self.measured.layout
        has_map = bool(layout.rows and layout.columns)
        waiting_for = following.waiting_for if following and not has_map else ""
        self._heatmap.view.waiting_for = (waiting_for, "", *following.advice) if following and waiting_for else ()

    def _tell(self, batch: Batch) -> None:
        if batch.lines:
            self._log_pane.add(batch.lines)
        for line in batch.notices[:_NOTICES_PER_FRAME]:
            self.notify(shorten(line, 300), markup=False, severity="warning", timeout=6)
        if batch.lost is not None:
            said = shorten(f"{batch.lost.error} {' '.join(batch.lost.last_lines[-2:])}", 300)
            line = f"{said}\n{key_of(self, 'restart')} starts it again"
            self.notify(line, title="scorer lost", markup=False, severity="error", timeout=15)

    # Actions of the user.

    def on_candidates_pane_moved(self) -> None:
        """Update the diff for the candidate under the cursor."""
        self.candidates.moved()

    def on_user_intent(self, event: UserIntent) -> None:
        """Handle an intent of the candidate panes."""
        self.candidates.follow(event.intent)

    def open_pane(self, name: str) -> None:
        """Show and focus a pane."""
        self._workspace.open(name)

    def action_delta(self) -> None:
        """Toggle between the map and its changes since the weights changed."""
        if self._comparison.possible(self.measure):
            self._show_changes(not self._comparison.on)
        else:
            self.say("nothing to compare: the weights have not changed since memscope started")

    def show_training_effect(self) -> None:
        """Score the map again under the trained weights, and show the changes as it fills in."""
        self._score_queue.add(ScoreRequest(self.measure))
        if self._comparison.possible(self.measure):
            self._show_changes(True)

    def _show_changes(self, on: bool) -> None:
        self._comparison.switch(self.measure, on)
        self._title_line.refresh()
        self.log_line("the map shows after − before" if on else "the map shows current values")

    def on_heatmap_view_cursor_moved(self) -> None:
        """Update the detail for the cell under the cursor."""
        self._cell.moved(self.measure)

    def on_heatmap_view_opened(self) -> None:
        """Open the detail pane."""
        self._cell.ask()
        self._workspace.open("detail")

    def action_digit(self, digit: int) -> None:
        """Open the pane with this digit."""
        for spec in PANES:
            if spec.digit == digit:
                self._workspace.open(spec.id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide digits without a pane."""
        return action != "digit" or any(spec.digit in parameters for spec in PANES)

    def action_leave(self) -> None:
        """Go back one step: clear the filter, leave a pane, or stop scoring."""
        if self._heatmap.clear_filter():
            return
        if self._workspace.current != "heatmap":
            self._workspace.open("heatmap")
        elif self._following is None and self.measured.state in ("scoring", "paused"):
            self._score_queue.stop()
            self.say(f"scoring stopped, results are kept; {key_of(self, 'score')} continues")

    def action_measure(self) -> None:
        """Show the other measure, scoring it if needed."""
        self.measure = MEASURES[(MEASURES.index(self.measure) + 1) % len(MEASURES)]
        grid = self.measured.grids[self.measure]
        if self._comparison.on and not self._comparison.possible(self.measure):
            self._show_changes(False)
        self._comparison.show(self.measure)
        self._cell.moved(self.measure)
        self._title_line.update_run(self.measure, self._progress)
        if self._following is not None:
            self._following.score(self.measure)
        elif self.options.score and "done" not in grid.status:
            self._score_queue.add(ScoreRequest(self.measure))

    def action_pause(self) -> None:
        """Pause or resume."""
        scoring = self._following or self.measured
        if self.measured.state == "paused" or (self._following and self._following.status == "paused"):
            scoring.resume()
        else:
            scoring.pause()
        self._title_line.refresh()

    def action_score(self) -> None:
        """Ask what to score again."""
        if self.candidates.tasks.unmeasured:
            self.candidates.tasks.find()
        else:
            self._rescoring.ask(self.measure)

    def action_restart(self) -> None:
        """Restart the scorer and continue; ask first if it is running."""
        self._rescoring.ask_to_restart(self.measure, unsaved_weights=self.candidates.tasks.unsaved_weights)

    def action_export(self) -> None:
        """Ask for a file name and export the grid."""
        self._export.ask(self.measure, changes=self._comparison.on)

    def action_copy(self) -> None:
        """Copy the selection, or the content of the current pane."""
        text = self.screen.get_selected_text() or self._workspace.pane().copied()
        self.say(copy(self, text, self.options.state_folder) if text else "nothing to copy here")

    def action_interrupt(self) -> None:
        """Copy the selection; without one, hint at how to quit, and quit the second time."""
        selected = self.screen.get_selected_text()
        if isinstance(self.focused, Input):
            selected = selected or self.focused.selected_text
        if selected:
            self.say(copy(self, selected, self.options.state_folder))
        elif time.monotonic() - self._interrupted < _QUIT_WINDOW_SECONDS:
            self.exit(130 if self.measured.state in RUNNING else 0)
        else:
            self._interrupted = time.monotonic()
            self.notify("nothing selected; press ctrl+c again to quit", markup=False, timeout=_QUIT_WINDOW_SECONDS)

    def action_help(self) -> None:
        """Show the keys of the current pane."""
        active = self.screen.active_bindings.values()
        keys = [(self.get_key_display(one.binding), one.binding) for one in active]
        disabled = {one.binding.id for one in active if one.binding.id and not one.enabled}
        text = help_text(keys, min(self.size.width, 100) - 8, disabled)
        self.push_screen(Help(f"keys · {self._workspace.current}", text))

    async def action_quit(self) -> None:
        """Quit like `q`, for the palette and ctrl+q."""
        self.action_ask_quit()

    def action_ask_quit(self) -> None:
        """Quit, asking first if something is running or unsaved."""
        if isinstance(self.screen, QuitQuestion):
            return
        following = self._following is not None
        warning = quit_warning(self.measured, self.candidates.tasks, self._progress, following=following)
        if warning is None:
            self.exit(0)
        else:
            question = QuitQuestion(warning, loses=self.candidates.tasks.unsaved_weights)
            self.push_screen(question, lambda answer: self.exit(0) if answer == "quit" else None)

    async def shut_down(self) -> None:
        """Stop everything the screen started; the run itself is closed by its owner."""
        for stop in self._stop_listening:
            stop()
        await self._tasks.close()

    def _use_theme(self, name: str) -> None:
        if name in self.available_themes:
            self.theme = name
        else:
            self.say(f"unknown theme {one_line(name)!r}; known themes: {', '.join(sorted(BUILTIN_THEMES))}", warn=True)


def run_app(run: Run, options: UiOptions | None = None, following: Following | None = None) -> int:
    """Show the screen until the user quits, close the run, and return the exit status.

    Args:
        run: A run that is not open yet; it is used on the event loop started here.
        options: By default taken from the run's configuration.
        following: Keeps the run at the latest version of a session that grows; None if the session is only shown.
    """
    return asyncio.run(_run_app(MemscopeApp(run, options or UiOptions.of(run.config), following), run))


async def _run_app(app: MemscopeApp, run: Run) -> int:
    try:
        await app.run_async()
        if app.failure is not None:
            raise app.failure
        await app.shut_down()
    finally:
        await run.close()
    return app.return_value if app.return_value is not None else app.return_code or 0
