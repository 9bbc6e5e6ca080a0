"""Identify the server at an address, choose a dialect, and check its numbers."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from memscope.engines.base import ScorerInfo
from memscope.engines.dialects import DIALECTS, Dialect, ServedModel
from memscope.engines.logprobs import agree
from memscope.engines.transport import FIRST_CALL_SECONDS, RefusedError, Transport
from memscope.engines.trust import check_numbers, probe_ids
from memscope.errors import ScorerError, ScorerGoneError, UsageError

__all__ = ["identify", "open_dialect", "with_verification"]

_PROBE_LENGTH = 8
_CANARY = array("I", ((7 * n) % 97 + 5 for n in range(48)))
_UNVERIFIED = "the scorer's numbers could not be checked"
_LOADING = 503
_LOADING_PAUSE_SECONDS = 2.0


class _Model(msgspec.Struct):
    id: str
    owned_by: str = ""
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    vocab_size: int | None = None
    weights: str = ""
    dtype: str = ""
    prefix_cache: bool = False
    prefix_cache_tokens: int | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        """Treat invalid limits as unknown."""
        self.max_model_len = self.max_model_len if (self.max_model_len or 0) > 0 else None
        self.vocab_size = self.vocab_size if (self.vocab_size or 0) > 0 else None


class _Models(msgspec.Struct):
    data: list[_Model]


async def open_dialect(
    transport: Transport, model: str | None, wanted: str, on_wait: Callable[[str], None]
) -> tuple[Dialect, ScorerInfo]:
    """Choose a dialect that works on this server, and check its numbers.

    Args:
        transport: The server.
        model: The served model name; None if there is only one.
        wanted: "auto", or the name of the dialect to use.
        on_wait: Called with one line while waiting for a server that is still loading its model.

    Raises:
        UntrustedScorerError: Its numbers are inconsistent.
        ScorerGoneError: The server does not respond.
        ScorerError: No dialect works; the message says what was tried and what was returned.
        UsageError: The dialect name is unknown.
    """
    candidates = [dialect for dialect in DIALECTS if wanted in ("auto", dialect.name)]
    if not candidates:
        raise UsageError(f"dialect {wanted!r}: expected auto, {', '.join(d.name for d in DIALECTS)}")
    until, said = time.monotonic() + FIRST_CALL_SECONDS, False
    while True:
        try:
            dialect = await _first_that_works(transport, model, candidates)
            break
        except RefusedError as error:
            if error.status != _LOADING or time.monotonic() > until:
                raise
            if not said:
                on_wait(f"{transport.root} is not ready ({error.text}): waiting up to {FIRST_CALL_SECONDS:.0f} s")
                said = True
            await transport.sleep(_LOADING_PAUSE_SECONDS)
    info = await identify(dialect)
    return dialect, await with_verification(dialect, info)


async def with_verification(dialect: Dialect, info: ScorerInfo) -> ScorerInfo:
    """Check the server's numbers and return the info with the outcome.

    Raises:
        UntrustedScorerError: The numbers are inconsistent.
    """
    obstacle = await check_numbers(dialect, info.max_tokens, info.vocab_size)
    notes = [note for note in info.notes if not note.startswith(_UNVERIFIED)]
    if obstacle:
        notes.append(f"{_UNVERIFIED}: {obstacle}")
    return replace(info, verified=not obstacle, notes=tuple(notes))


async def _first_that_works(transport: Transport, model: str | None, candidates: list[type[Dialect]]) -> Dialect:
    served = _choose(await _models(transport), model, transport.root)
    failures: list[tuple[type[Dialect], ScorerError]] = []
    for kind in candidates:
        dialect = kind(ServedModel(transport, served.id))
        try:
            await dialect.score(probe_ids(_PROBE_LENGTH, served.vocab_size), [(1, _PROBE_LENGTH)])
        except ScorerGoneError:
            raise
        except ScorerError as error:
            failures.append((kind, error))
        else:
            return dialect
    for _, failure in failures:
        if isinstance(failure, RefusedError) and failure.status == _LOADING:
            raise failure
    tried = "; ".join(f"{kind.path} as {kind.name} ({_short(failure, transport)})" for kind, failure in failures)
    raise ScorerError(f"{transport.root} cannot score prompts with model {served.id!r}: tried {tried}")


async def identify(dialect: Dialect, before: ScorerInfo | None = None) -> ScorerInfo:
    """Return the properties of a server, with a fingerprint of its current weights, not verified yet.

    For servers that report no fingerprint, it is derived from the log-probabilities of a fixed sequence; it equals that
    of `before` as long as these differ by no more than the noise of a server.
    """
    transport = dialect.served.transport
    models = await _models(transport)
    served = _choose(models, dialect.served.name, transport.root)
    limit = served.max_model_len or next((m.max_model_len for m in models if m.id == served.parent), None)
    notes = [served.note] if served.note else []
    if served.parent or any(m.parent for m in models):
        notes.append("serves adapters: one request at a time")
    canary = () if served.weights else await _canary(dialect, served.vocab_size)
    return ScorerInfo(
        kind=served.owned_by or "openai",
        model=served.id,
        dtype=served.dtype,
        url=f"{transport.root}/v1",
        dialect=dialect.name,
        weights=served.weights or _fingerprint(canary, before),
        root=served.root or "",
        max_tokens=None if limit is None else limit - dialect.features.reserved_tokens,
        vocab_size=served.vocab_size,
        reuses_prefixes=served.prefix_cache and dialect.features.prefix_reuse,
        prefix_cache_tokens=served.prefix_cache_tokens or None,
        notes=tuple(notes),
        canary=canary,
    )


async def _models(transport: Transport) -> list[_Model]:
    found: _Models = await transport.get(
        "/v1/models", kind=_Models, expected="the model list of an OpenAI-style server"
    )
    return found.data


def _choose(models: list[_Model], wanted: str | None, root: str) -> _Model:
    names = [model.id for model in models]
    if wanted is None and len(models) == 1:
        return models[0]
    if wanted is None:
        raise ScorerError(f"{root} serves {', '.join(names) or 'no model'}: choose one with --model")
    if wanted not in names:
        raise ScorerError(f"{root} does not serve {wanted!r}; it serves {', '.join(names) or 'no model'}")
    return models[names.index(wanted)]


async def _canary(dialect: Dialect, vocab_size: int | None) -> tuple[float, ...]:
    ids = _CANARY if vocab_size is None else array("I", (token % vocab_size for token in _CANARY))
    scored = await dialect.score(ids, [(1, len(ids))])
    return tuple(scored.tokens[0]) or tuple(scored.totals)


def _fingerprint(canary: tuple[float, ...], before: ScorerInfo | None) -> str:
    known = before.canary if before is not None else ()
    if before is not None and len(known) == len(canary) and agree(zip(known, canary, strict=True)):
        return before.weights
    # From one run to the next noise may show here: that costs a fresh run, and never a stale number.
    rounded = [round(value, 2) for value in canary]
    return "canary-" + hashlib.blake2b(repr(rounded).encode(), digest_size=8).hexdigest()


def _short(error: ScorerError, transport: Transport) -> str:
    return str(error).removeprefix(transport.root)
