"""The state of the running server: the loaded model, the worker, and the loading status."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memscope.server.compute.folder import model_folder
from memscope.server.errors import ApiError
from memscope.server.options import ServeOptions

if TYPE_CHECKING:  # importing these takes seconds, and the port must be open before
    from memscope.server.compute.loading import LoadedModel
    from memscope.server.compute.worker import Worker

__all__ = ["Runtime"]


class Runtime:
    """The server's state. Everything but loading happens on the event loop's thread.

    Attributes:
        options: The options of the server.
        error: Why the model could not be loaded, or None.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.error: BaseException | None = None
        self._loaded: LoadedModel | None = None
        self._worker: Worker | None = None
        self._stops: list[Callable[[float], bool]] = []

    @property
    def status(self) -> str:
        """The loading status: "loading", "ok" or "failed"."""
        if self.error is not None:
            return "failed"
        return "loading" if self._loaded is None else "ok"

    @property
    def loaded(self) -> LoadedModel:
        """The model in use. A request must read this once and keep it.

        Raises:
            ApiError: It is still loading (503), or could not be loaded (500).
        """
        if self.error is not None:
            raise ApiError(500, str(self.error))
        if self._loaded is None:
            raise ApiError(503, "the model is still loading")
        return self._loaded

    @property
    def worker(self) -> Worker:
        """The thread that computes.

        Raises:
            ApiError: The model is still loading (503).
        """
        if self._worker is None:
            raise ApiError(503, "the model is still loading")
        return self._worker

    def load(self) -> None:
        """Load the model and start the worker; may be called on any thread. A failure is stored in `error`."""
        try:
            folder = model_folder(self.options.model)
            # Imported late, since importing torch takes seconds and most mistakes are found in the folder.
            from memscope.server.compute.loading import load
            from memscope.server.compute.worker import Worker

            loaded = load(folder, self.options)
        except Exception as error:
            self.error = error
            return
        worker = Worker()
        worker.start()
        self._worker, self._loaded = worker, loaded

    def swap(self, loaded: LoadedModel) -> None:
        """Switch to other weights. Running requests finish with the weights they started with."""
        self._loaded = loaded

    def at_stop(self, stop: Callable[[float], bool]) -> None:
        """Register a function that stops something with a timeout in seconds and returns whether it has stopped."""
        self._stops.append(stop)

    def stop(self, timeout: float) -> bool:
        """Stop computing; return whether everything ended, each within `timeout` seconds."""
        worker = [] if self._worker is None else [self._worker.stop]
        ended = [stop(timeout) for stop in (*self._stops, *worker)]
        return all(ended)
