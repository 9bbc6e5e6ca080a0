"""Notice when two different sessions have the same id.

Approvals and rejections belong to a session id and a response. The id of most formats is made from the file's path too;
a native session and a recording bring their own, and an agent that gives all its sessions one id would mix their marks.
A copy of a session, and a session that grew, are the same session.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from memscope.session.nodes import Session
from memscope.session.text import responses
from memscope.store.settings import Settings

__all__ = ["shared_id_warning"]

_OWN_IDS = ("native", "recording")
_DIGEST_BYTES = 16


def shared_id_warning(session: Session, settings: Settings) -> str | None:
    """Return one line if another session has this session's id, and remember which file has it.

    Args:
        session: The session; one without responses has no marks, and is not remembered.
        settings: Where the files are remembered.
    """
    beginning = _beginning(session)
    if not session.source.path or session.source.format not in _OWN_IDS or beginning is None:
        return None
    name, path = f"session {session.header.id}", os.path.realpath(session.source.path)
    known, _, known_path = settings.get(name, "").partition(" ")
    if known == beginning:
        return None
    if not known or known_path == path or not Path(known_path).exists():
        settings.set(name, f"{beginning} {path}")
    if not known:
        return None
    other = f"another session has the id {session.header.id!r} too ({known_path})"
    if known_path == path:
        other = f"{path} held another session with the id {session.header.id!r} before"
    return (
        f"{other}: approving or rejecting a response counts for an equal one in both; "
        "give each session an id of its own"
    )


def _beginning(session: Session) -> str | None:
    """Return a digest of a session up to its first response, which appending does not change."""
    first = next(responses(session), None)
    if first is None:
        return None
    end = next(place for place, node in enumerate(session.nodes) if node is first.turn)
    return hashlib.blake2b(msgspec.json.encode(session.nodes[: end + 1]), digest_size=_DIGEST_BYTES).hexdigest()
