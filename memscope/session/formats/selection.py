"""Choose one conversation of a file that holds several, such as the samples of an evaluation log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from memscope.errors import UsageError
from memscope.session.nodes import Session
from memscope.session.text import responses

__all__ = ["Candidate", "choose"]

_LISTED = 50
_TRIED = 200
"""How many conversations are searched for memories: a data set has many thousands, which may have none."""


class Candidate(NamedTuple):
    """One conversation of a file: the name to pick it by, and what reads it."""

    id: str
    read: Callable[[], Session]


def choose(candidates: Sequence[Candidate], *, kind: str, name: str, pick: str | None) -> Session:
    """Return one conversation, with a note that names the others.

    Args:
        candidates: At least one conversation, in the order of the file.
        kind: What they are: "sample", "agent".
        name: The file name, for error messages.
        pick: The id of the one to read; None for the first with memories and responses or else, where none of the first
            `_TRIED` has both, the first.

    Raises:
        SessionError: A conversation is invalid.
        UsageError: None has the id `pick`.
    """
    if pick is not None:
        chosen = next((one for one in candidates if one.id == pick), None)
        if chosen is None:
            raise UsageError(f"{name}: no {kind} {pick!r}; the file has {_names(candidates)}")
        return _noted(chosen.read(), chosen, candidates, kind)
    first = candidates[0].read()
    if _scorable(first):
        return _noted(first, candidates[0], candidates, kind)
    for one in candidates[1:_TRIED]:
        session = one.read()
        if _scorable(session):
            return _noted(session, one, candidates, kind)
    return _noted(first, candidates[0], candidates, kind)


def _scorable(session: Session) -> bool:
    return bool(session.memory_keys()) and next(responses(session), None) is not None


def _noted(session: Session, chosen: Candidate, candidates: Sequence[Candidate], kind: str) -> Session:
    if len(candidates) == 1:
        return session
    note = f"this is {kind} {chosen.id}; choose another of the {len(candidates)} with --pick: {_names(candidates)}"
    source = msgspec.structs.replace(session.source, notes=(note, *session.source.notes), choice=note)
    return msgspec.structs.replace(session, source=source)


def _names(candidates: Sequence[Candidate]) -> str:
    listed = ", ".join(one.id for one in candidates[:_LISTED])
    more = len(candidates) - _LISTED
    return f"{listed} and {more:,} more" if more > 0 else listed
