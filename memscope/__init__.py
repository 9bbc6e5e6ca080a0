"""memscope: find out which of an agent's memories each of its responses depends on.

As a library, for notebooks and scripts:

    >>> import memscope
    >>> matrix = memscope.score("session.jsonl", model="path/or/hub-name")  # or url="http://host:8000/v1"
    >>> matrix.keys, matrix.responses, matrix.values.shape
    >>> print(matrix.to_csv())

`memscope.load(path)` reads a session without scoring it. Whatever goes wrong is a `memscope.MemscopeError`. Names are
imported lazily, on first use.

An agent in Python can record its calls itself, for `memscope run.jsonl` to open or, with `--follow`, to watch:

    >>> with memscope.Recorder("run.jsonl") as recorder:
    ...     memory = recorder.memory("db/port", "The staging database listens on port 7432.")
    ...     messages = [{"role": "system", "content": [memory]}, {"role": "user", "content": "Which port?"}]
    ...     # response = client.chat.completions.create(model="m", messages=recorder.unmarked(messages))
    ...     recorder.call(messages, "It listens on port 7432.", model="m")  # or the response itself

The packages, from the top layer down; each imports only from those below it:

    cli, commands/   one module per command, its arguments in commands/parsers/; they call run/ or ui/
    ui/              the Textual screen; larger panes have a folder of their own; keys.py lists every binding
    library          the public Python API
    run/             one run: a session, a scorer and a store, emitting events; following, candidates, shipping
    training/        samples, sending, exports, before/after comparison
    scoring/         the table of ablations, and the measures and jobs over it
    prompt/          a session as token ids: ChatML, and template/ for the model's own chat template
    engines/         requests to scoring servers (dialects/: one module each), checks, the embedded scorer process
    record/          the proxy of `memscope record`, and the Recorder: calls to a recording
    store/           the state database: scores by content, the training ledger, settings, migrations
    session/         nodes and calls; formats/: one module or folder each; apis/: bodies of model APIs; rules/: memory
                     detectors; following a growing file
    terminal/        text that is safe for a terminal, printing, the word diff
    server/          memscope serve, independent of the packages above: api/, compute/, training/
    demo/            the bundled model and session; build/ generates and trains them; live/ is an agent at work
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memscope.errors import MemscopeError
    from memscope.library import Matrix, load, score
    from memscope.record.recorder import Recorder

__all__ = ["Matrix", "MemscopeError", "Recorder", "__version__", "load", "score"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'memscope' has no attribute {name!r}")
    if name == "Recorder":
        from memscope.record.recorder import Recorder

        return Recorder
    from memscope import library

    return getattr(library, name)


def __dir__() -> list[str]:
    return sorted(__all__)
