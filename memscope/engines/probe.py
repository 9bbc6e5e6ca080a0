"""Finding out what answers at an address, what it can do, and whether its numbers can be trusted.

The trust is earned by a round trip: the server generates one greedy token and says its log-probability; scoring the
prompt with that token appended must give the same number. That catches shifted indices, ignored fields and raw logits.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

import msgspec

from memscope.engines.base import Scored, ScorerInfo
from memscope.engines.dialects import DIALECTS, Dialect
from memscope.engines.transport import RefusedError, Transport
from memscope.errors import ScorerError, ScorerGoneError, UsageError

__all__ = ["identify", "open_dialect"]

_PROBE = array("I", (5, 6, 7, 8, 9, 10, 11, 12))
_CANARY = array("I", ((7 * n) % 97 + 5 for n in range(48)))
_NOISE_NATS = 0.05
"""By how much a token of the canary may differ from one request to the next, with the same weights."""

_ROUND_TRIP_NATS = 0.05


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
    note: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


async def open_dialect(transport: Transport, model: str | None, wanted: str) -> tuple[Dialect, ScorerInfo]:
    """Choose a dialect that works on this server, and check its numbers.

    Raises:
        ScorerGoneError: Nothing answers.
        ScorerError: No dialect works; the line says what was tried and what came back.
        UsageError: No dialect has the wanted name.
    """
    candidates = [dialect for dialect in DIALECTS if wanted in ("auto", dialect.name)]
    if not candidates:
        raise UsageError(f"dialect {wanted!r}: expected auto, {', '.join(d.name for d in DIALECTS)}")
    served = _choose(await _models(transport), model, transport.root)
    failures = []
    for dialect in candidates:
        try:
            await _score(transport, dialect, served.id, _PROBE)
        except ScorerGoneError:
            raise
        except ScorerError as error:
            failures.append(f"{dialect.path} as {dialect.name} ({_short(error, transport)})")
            continue
        await _round_trip(transport, dialect, served.id)
        return dialect, await identify(transport, served.id, dialect)
    raise ScorerError(f"{transport.root} cannot score prompts with model {served.id!r}: tried {'; '.join(failures)}")


async def identify(transport: Transport, model: str, dialect: Dialect, before: ScorerInfo | None = None) -> ScorerInfo:
    """Return who answers, with a fingerprint of the weights as of now.

    Servers that do not say a fingerprint get one from the log-probabilities of a fixed sequence; it is that of
    `before`, who answered until now, as long as these differ by no more than a server's own noise.
    """
    models = await _models(transport)
    served = _choose(models, model, transport.root)
    limit = served.max_model_len or next((m.max_model_len for m in models if m.id == served.parent), None)
    if limit is not None and dialect.name == "prompt_logprobs":
        limit -= 1  # the one token that must be generated counts
    notes = [served.note] if served.note else []
    if served.parent or any(m.parent for m in models):
        notes.append("serves adapters: one request at a time")
    canary = () if served.weights else await _canary(transport, dialect, served.id)
    return ScorerInfo(
        kind=served.owned_by or "openai",
        model=served.id,
        dtype=served.dtype,
        url=f"{transport.root}/v1",
        dialect=dialect.name,
        weights=served.weights or _fingerprint(canary, before),
        root=served.root or "",
        max_tokens=limit,
        vocab_size=served.vocab_size,
        reuses_prefixes=served.prefix_cache and dialect.name == "score",
        notes=tuple(notes),
        canary=canary,
    )


async def _models(transport: Transport) -> list[_Model]:
    answer = await transport.get("/v1/models")
    try:
        return msgspec.convert(answer, _Models).data
    except msgspec.ValidationError as error:
        raise ScorerError(f"{transport.root}/v1/models: not an OpenAI-style server: {error}") from error


def _choose(models: list[_Model], wanted: str | None, root: str) -> _Model:
    names = [model.id for model in models]
    if wanted is None and len(models) == 1:
        return models[0]
    if wanted is None:
        raise ScorerError(f"{root} serves {', '.join(names) or 'no model'}: choose one with --model")
    if wanted not in names:
        raise ScorerError(f"{root} does not serve {wanted!r}; it serves {', '.join(names) or 'no model'}")
    return models[names.index(wanted)]


async def _score(transport: Transport, dialect: Dialect, model: str, ids: array[int]) -> Scored:
    ranges = [(1, len(ids))]
    body = await transport.post(dialect.path, dialect.request(model, ids, ranges, None, None))
    return dialect.parse(body, ids, ranges)


async def _canary(transport: Transport, dialect: Dialect, model: str) -> tuple[float, ...]:
    scored = await _score(transport, dialect, model, _CANARY)
    return tuple(scored.tokens[0]) or tuple(scored.totals)


def _fingerprint(canary: tuple[float, ...], before: ScorerInfo | None) -> str:
    known = before.canary if before is not None else ()
    if len(known) == len(canary) > 0 and max(abs(a - b) for a, b in zip(known, canary, strict=True)) <= _NOISE_NATS:
        return before.weights if before is not None else ""
    # From one run to the next noise may show here: that costs a fresh run, and never a stale number.
    rounded = [round(value, 2) for value in canary]
    return "canary-" + hashlib.blake2b(repr(rounded).encode(), digest_size=8).hexdigest()


async def _round_trip(transport: Transport, dialect: Dialect, model: str) -> None:
    request = {
        "model": model,
        "prompt": list(_PROBE),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "return_token_ids": True,
    }
    try:
        body = await transport.post("/v1/completions", request)
        token, said = _generated(msgspec.json.decode(body))
    except (RefusedError, LookupError, TypeError, ValueError):
        return  # a server that only scores has nothing to compare with
    ids = array("I", [*_PROBE, token])
    ranges = [(len(_PROBE), len(ids))]
    scored = dialect.parse(
        await transport.post(dialect.path, dialect.request(model, ids, ranges, None, None)), ids, ranges
    )
    if abs(scored.totals[0] - said) > _ROUND_TRIP_NATS:
        raise ScorerError(
            f"{transport.root}: its numbers do not agree: it generated token {token} at {said:.3f} nats but scores it "
            f"at {scored.totals[0]:.3f} ({dialect.name}); nothing measured with it could be trusted"
        )


def _generated(reply: Any) -> tuple[int, float]:
    choice = reply["choices"][0]
    return int(choice["token_ids"][0]), float(choice["logprobs"]["token_logprobs"][0])


def _short(error: ScorerError, transport: Transport) -> str:
    return str(error).removeprefix(transport.root)
