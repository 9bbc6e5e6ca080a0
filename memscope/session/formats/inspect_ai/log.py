"""inspect_ai evaluation logs that are one JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import field_error
from memscope.session.formats.inspect_ai.sample import InspectLog, read_sample
from memscope.session.formats.selection import Candidate, choose
from memscope.session.nodes import Session

__all__ = ["FORMAT", "read_inspect_log", "sample_names"]


def read_inspect_log(document: Any, name: str, new_detector: NewDetector, *, pick: str | None = None) -> Session:
    """Convert a decoded log.

    Args:
        document: The log.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.
        pick: Id of the sample to read; None for the first with memories and responses.

    Raises:
        SessionError: A field is invalid; the error names it.
        UsageError: No sample has the id `pick`.
    """
    samples = document.get("samples") if isinstance(document, dict) else None
    if not isinstance(samples, list) or not samples:
        raise field_error(name, "samples", "a list with at least one sample", samples)
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise field_error(name, f"samples[{number}]", "a JSON object", sample)
    log = InspectLog(name, FORMAT.name, document)
    names = sample_names((sample.get("id"), sample.get("epoch")) for sample in samples)
    candidates = [
        Candidate(id_, partial(read_sample, sample, log, id_, new_detector))
        for id_, sample in zip(names, samples, strict=True)
    ]
    return choose(candidates, kind="sample", name=name, pick=pick)


def sample_names(samples: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return the name to pick each sample by: its id, and its epoch where there are several.

    Args:
        samples: Id and epoch of each sample.
    """
    known = [(str(id_), str(epoch)) for id_, epoch in samples]
    several = len({epoch for _, epoch in known}) > 1
    return [f"{id_}/{epoch}" if several else id_ for id_, epoch in known]


def _recognises(head: FileHead) -> bool:
    match head.value:
        case {"eval": {"task": _, "model": _}, "samples": list() | None} | {"eval": {"eval_id": _}}:
            return True
    return False


def _format(pick: str | None) -> SessionFormat:
    return document_format(
        name="inspect",
        expected="an inspect_ai log",
        recognises=_recognises,
        read=partial(read_inspect_log, pick=pick),
        picking=_format,
    )


FORMAT = _format(None)
