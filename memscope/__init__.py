"""memscope: see which of an agent's memories each of its responses rests on.

As a library, for notebooks and scripts:

    >>> import memscope
    >>> matrix = memscope.score("session.jsonl", model="path/or/hub-name")  # or url="http://host:8000/v1"
    >>> matrix.keys, matrix.responses, matrix.values.shape
    >>> print(matrix.to_csv())

`memscope.load(path)` reads a session without scoring it. Nothing is imported before it is used.

A tour of the rooms, each of which imports only from those below it:

    cli, commands/   arguments to run/ or ui/, one module a command
    ui/              the Textual screen: a folder a pane where it has several modules; keys.py lists every binding
    library          what `import memscope` offers
    run/             one run = session + scorer + store, events out; candidates, shipping, selection, incremental
    training/        samples, sending, exports, before and after
    scoring/         the table of ablations, and the measures and jobs over it
    prompt/          a session as token ids: ChatML, and template/ for the model's own chat template
    engines/         asking a server for log-probabilities (dialects/: one module each), checks, the embedded child
    store/           the state database: scores by content, the training ledger, settings, migrations
    session/         nodes, the file formats (one module each), the detectors of memories
    terminal/        what may reach a terminal: safe text, printing, the word diff
    server/          memscope serve, which knows nothing of the above: api/, compute/, training/
    demo/            the bundled model and session; build/ made them
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memscope.library import Matrix, load, score

__all__ = ["Matrix", "__version__", "load", "score"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'memscope' has no attribute {name!r}")
    from memscope import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted(__all__)
