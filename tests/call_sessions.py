"""Sessions with calls, as agents make them: the whole message list is sent with every call, and it changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from memscope.demo.build.facts import kinds_about
from memscope.demo.build.pools import service
from memscope.session.detectors import Detector
from memscope.session.formats.builder import SessionBuilder
from memscope.session.nodes import Session

Message = dict[str, Any]

_WORDS = "the staging port was moved to another host last week and nobody told us why".split()


def text(content: str, key: str | None = None) -> dict[str, Any]:
    """Return a text part, marked as a memory if it has a key."""
    return {"type": "text", "text": content} | ({"memory": {"key": key}} if key else {})


def message(role: str, *parts: str | Mapping[str, Any]) -> Message:
    """Return a canonical message; a string is a text part."""
    return {"role": role, "content": [text(part) if isinstance(part, str) else dict(part) for part in parts]}


@dataclass(frozen=True)
class Exchange:
    """One call: what was sent, what came back, and further fields of `Call`."""

    prompt: Sequence[Message]
    response: Message | None
    fields: Mapping[str, Any] = field(default_factory=dict)


def call_session(exchanges: Sequence[Exchange], id_: str = "calls") -> Session:
    """Return the session of some calls; equal messages are one node, as in a recording."""
    return list(growing_session(exchanges, id_))[-1]


def growing_session(exchanges: Sequence[Exchange], id_: str = "calls") -> Iterator[Session]:
    """Yield the session after each call."""
    builder = SessionBuilder("calls.jsonl", "recording", Detector())
    known: dict[str, int] = {}

    def place(value: Message) -> int:
        content = json.dumps(value, sort_keys=True)
        if content not in known:
            known[content] = builder.message(value, "calls.jsonl")
        return known[content]

    for number, exchange in enumerate(exchanges):
        prompt = [place(value) for value in exchange.prompt]
        response = None if exchange.response is None else place(exchange.response)
        stamp = f"2026-11-20T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        fields = {"timestamp": stamp, **exchange.fields}
        builder.call(id=f"c{number}", prompt=prompt, response=response, **fields)
        yield builder.session(id=id_)


def retrieving_agent(
    calls: int, memories: int = 20, changed: int = 3, seed: int = 0, filler: int = 0
) -> list[Exchange]:
    """Return the calls of an agent whose system message has retrieved memories, some of which change every turn.

    Args:
        calls: Number of calls.
        memories: Number of memories in each prompt.
        changed: Number of memories that each call but the first replaces.
        seed: Makes the same agent again.
        filler: Number of further words in each answer.
    """
    random = Random(seed)
    facts = []
    for number in range(memories * 3):
        kind = random.choice(kinds_about("service"))
        about, value = f"{service(random)}-{number}", kind.value(random)
        facts.append((f"fact/{number}", kind.says[0].format(e=about, v=value), kind.asks[0].format(e=about)))
    chosen = list(range(memories))
    history: list[Message] = []
    made = []
    for turn in range(calls):
        for _ in range(changed if turn else 0):
            place = random.randrange(memories)
            chosen[place] = random.choice([n for n in range(len(facts)) if n not in chosen])
        notes = [text(f"{facts[n][1]}\n", facts[n][0]) for n in chosen]
        _, said, asked = facts[chosen[turn % memories]]
        history = [*history, message("user", asked)]
        answer = message("assistant", " ".join([said, *random.choices(_WORDS, k=filler)]))
        made.append(Exchange([message("system", "You are a helpful agent.\n", *notes), *history], answer))
        history = [*history, answer]
    return made


def trie_size(sequences: Sequence[Sequence[int]]) -> int:
    """Return the number of nodes in the trie of some sequences: how many tokens must be forwarded at least."""
    ordered = sorted(map(tuple, sequences))
    shared = 0
    for one, other in itertools.pairwise(ordered):
        equal = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
        shared += sum(1 for _ in equal)
    return sum(map(len, ordered)) - shared
