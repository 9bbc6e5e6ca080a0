"""Responses as files that training libraries read, each record with where it comes from.

| target | record |
|---|---|
| `trl` | `input_ids`, `labels` (-100 before the response), `attention_mask`: exactly the ids that were scored |
| `messages` | `messages`, `tools`: the exchange, the response last |
| `sdft` | `prompt`, `privileged_context` (the memories' texts), `completion` (the response, for reference) |
| `dpo` | `prompt`, `chosen` (the response), `rejected` (the alternate) |

A file is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from memscope.errors import StoreError, TrainingError, UsageError
from memscope.prompt.prompt import Prompt
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Session
from memscope.training.conversations import ChatMessage, Conversations
from memscope.training.samples import TrainingContext, build_samples

__all__ = [
    "IGNORED_LABEL",
    "Origin",
    "RecordBuilder",
    "RecordTarget",
    "check_destination",
    "json_lines",
    "write_atomically",
]

RecordTarget: TypeAlias = Literal["trl", "messages", "sdft", "dpo"]

IGNORED_LABEL = -100
"""What PyTorch's cross entropy, and with it every trainer, takes for "no loss here"."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where all records of an export come from.

    Attributes:
        model: The name under which the scorer serves.
        weights: The fingerprint of the weights that gave the divergences.
        tokenizer: The tokenizer's fingerprint, its template included.
        template: "chatml", or a hash of the chat template.
        session: The session's id.
    """

    model: str
    weights: str
    tokenizer: str
    template: str
    session: str

    @classmethod
    def of(cls, model: str, weights: str, tokenizer: Tokenizer, prompt: Prompt, session: str) -> Origin:
        """Take the fingerprints from a tokenizer, and which template was used from a prompt."""
        template = "chatml"
        if prompt.template == "own":
            template = hashlib.blake2b((tokenizer.chat_template or "").encode(), digest_size=16).hexdigest()
        return cls(model, weights, tokenizer.fingerprint, template, session)


@dataclass
class RecordBuilder:
    """Makes records of responses.

    Attributes:
        session: The session, redacted or not.
        prompt: The same tokenised.
        origin: Where it comes from.
        identities: Every response's identity, by index.
        divergences: Strip-all divergences by response index, signed nats, as measured on the session unredacted.
        context: Whether memories stay in what comes before a response; `sdft` always takes them apart.
        redactions: What was redacted, by rule; None when nothing was looked for.
        left_out: How many responses gave no record, by reason.
    """

    session: Session
    prompt: Prompt
    origin: Origin
    identities: Mapping[int, str]
    divergences: Mapping[int, float]
    context: TrainingContext = "without"
    redactions: Mapping[str, int] | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Lay the conversation out once."""
        self._conversations = Conversations(self.session, self.prompt)

    def of(
        self, target: RecordTarget, responses: Sequence[int], alternates: Mapping[int, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the records of some responses; those that give none are counted in `left_out`.

        Args:
            target: Which record.
            responses: Indices in the matrix.
            alternates: What the model said in a response's place, for `dpo`.

        Raises:
            TrainingError: There is no such response.
        """
        for index in responses:
            if not 0 <= index < len(self.prompt.responses):
                raise TrainingError(f"there is no response {index}: the session has {len(self.prompt.responses)}")
            record = self._record(target, index, alternates or {})
            if record is not None:
                yield {**record, "provenance": self._provenance(target, index)}

    def _record(self, target: RecordTarget, index: int, alternates: Mapping[int, str]) -> dict[str, Any] | None:
        match target:
            case "trl":
                return self._trl(index)
            case "messages":
                return self._messages(index)
            case "sdft":
                return self._sdft(index)
            case "dpo":
                return self._dpo(index, alternates.get(index))

    def _trl(self, index: int) -> dict[str, Any]:
        (sample,) = build_samples(self.prompt, [index], self.context, None)
        ids = [*sample.context, *sample.continuation]
        labels = [IGNORED_LABEL] * len(sample.context) + list(sample.continuation)
        return {"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)}

    def _messages(self, index: int) -> dict[str, Any]:
        return {"messages": [*self._before(index), self._conversations.response(index)]} | self._tools

    def _sdft(self, index: int) -> dict[str, Any] | None:
        prompt = self._conversations.before(index, self._keys)
        memories = self._conversations.memories(index)
        if not memories:
            return self._none("no memory comes before it")
        if not prompt or prompt[-1]["role"] != "user":
            return self._none("it does not follow a user's turn, which TRL's trainer needs")
        told = "\n\n".join(text.strip() for texts in memories.values() for text in texts)
        response = [self._conversations.response(index)]
        return {"prompt": prompt, "privileged_context": told, "completion": response} | self._tools

    def _dpo(self, index: int, alternate: str | None) -> dict[str, Any] | None:
        chosen = self._conversations.response(index)
        if alternate is None:
            return self._none("it has no alternate")
        if alternate.strip() == chosen["content"].strip() and not chosen.get("tool_calls"):
            return self._none("its alternate says the same")
        rejected = {"role": "assistant", "content": alternate}
        return {"prompt": self._before(index), "chosen": [chosen], "rejected": [rejected]} | self._tools

    def _none(self, reason: str) -> dict[str, Any] | None:
        self.left_out[reason] += 1
        return None

    def _before(self, index: int) -> list[ChatMessage]:
        return self._conversations.before(index, self._keys if self.context == "without" else ())

    @property
    def _keys(self) -> Collection[str]:
        return {memory.key for memory in self.prompt.memories}

    @property
    def _tools(self) -> dict[str, Any]:
        return {"tools": list(self.session.tools)} if self.session.tools else {}

    def _provenance(self, target: RecordTarget, index: int) -> dict[str, Any]:
        apart = self.context == "without" or target == "sdft"
        provenance: dict[str, Any] = msgspec.to_builtins(self.origin) | {
            "response": self.identities[index],
            "index": index,
            "context": "without" if apart else "with",
            "removed_memories": list(self._conversations.memories(index)) if apart else [],
            "divergence": self.divergences.get(index),
        }
        if self.redactions is not None:  # a list, since libraries that make columns take no object without fields
            provenance["redacted"] = [{"rule": rule, "count": n} for rule, n in sorted(self.redactions.items())]
        return provenance


def json_lines(records: Collection[Mapping[str, Any]]) -> str:
    """Return records as JSON Lines."""
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records)


def check_destination(path: Path, *, force: bool) -> None:
    """See that a file may be written, before any work is done for it.

    Raises:
        UsageError: It exists and `force` is not given, it is no regular file, or its folder does not exist.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a file that can be replaced; without --output the export goes to stdout")
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name, or replace it with --force")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def write_atomically(path: Path, text: str, *, force: bool) -> None:
    """Write a file whole or not at all; nobody else can read it, since sessions are private.

    Args:
        path: The file.
        text: What it holds.
        force: Replace one that exists.

    Raises:
        UsageError: It exists.
        StoreError: It cannot be written.
    """
    check_destination(path, force=force)
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                _move_into_place(temporary, path, force=force)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    temporary.unlink()
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def _move_into_place(temporary: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            path.hardlink_to(temporary)  # unlike a rename, it never replaces a file that somebody made meanwhile
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            check_destination(path, force=False)
        else:
            return
    temporary.replace(path)
