"""Export responses as files for training libraries; every record includes its provenance.

| target | record |
|---|---|
| `trl` | `input_ids`, `labels` (-100 before the response), `attention_mask`: exactly the ids that were scored |
| `messages` | `messages`, `tools`: the conversation, ending with the response |
| `sdft` | `prompt`, `privileged_context` (the memories' texts), `completion` (the response, for reference) |
| `dpo` | `prompt`, `chosen` (the response), `rejected` (the alternate) |

Files are written atomically.
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
"""The label that PyTorch's cross entropy ignores."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The provenance shared by all records of an export.

    Attributes:
        model: The served model name.
        weights: The fingerprint of the weights that the divergences were measured with.
        tokenizer: The fingerprint of the tokenizer, including its chat template.
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
        """Collect the fingerprint of a tokenizer and the template that a prompt was rendered with."""
        template = "chatml"
        if prompt.template == "own":
            template = hashlib.blake2b((tokenizer.chat_template or "").encode(), digest_size=16).hexdigest()
        return cls(model, weights, tokenizer.fingerprint, template, session)


@dataclass
class RecordBuilder:
    """Builds records from responses.

    Attributes:
        session: The session, redacted or not.
        prompt: The tokenised session.
        origin: The shared provenance.
        identities: Response ids by index.
        divergences: Strip-all divergences by response index, in signed nats, measured on the unredacted session.
        context: Whether memories stay in the context of a response; `sdft` always separates them.
        redactions: Number of redactions by rule; None if redaction is off.
        left_out: Number of responses without a record, by reason.
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
        """Convert the session to messages once."""
        self._conversations = Conversations(self.session)

    def of(
        self, target: RecordTarget, responses: Sequence[int], alternates: Mapping[int, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the records of some responses; responses without a record are counted in `left_out`.

        Args:
            target: The record format.
            responses: Matrix indices.
            alternates: Alternates by response index, for `dpo`.

        Raises:
            TrainingError: An index is out of range.
        """
        for index in responses:
            if not 0 <= index < len(self.prompt.responses):
                raise TrainingError(f"there is no response {index}: the session has {len(self.prompt.responses)}")
            record = self._record(target, index, alternates or {})
            if record is not None:
                yield {**record, "provenance": self._provenance(target, index)}

    def _record(self, target: RecordTarget, index: int, alternates: Mapping[int, str]) -> dict[str, Any] | None:
        if target != "trl" and self._conversations.is_raw(index):
            return self._none("it continues raw text, which only --to trl can hold")
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
        return {"messages": [*self._before(index), self._conversations.response(index)]} | self._tools(index)

    def _sdft(self, index: int) -> dict[str, Any] | None:
        prompt = self._conversations.before(index, self._keys)
        memories = self._conversations.memories(index)
        if not memories:
            return self._none("no memory comes before it")
        if not prompt or prompt[-1]["role"] != "user":
            return self._none("it does not follow a user turn, as TRL's trainer requires")
        told = "\n\n".join(text.strip() for texts in memories.values() for text in texts)
        response = [self._conversations.response(index)]
        return {"prompt": prompt, "privileged_context": told, "completion": response} | self._tools(index)

    def _dpo(self, index: int, alternate: str | None) -> dict[str, Any] | None:
        chosen = self._conversations.response(index)
        if alternate is None:
            return self._none("it has no alternate")
        alternate = self._conversations.begun(index) + alternate
        if alternate.strip() == chosen["content"].strip() and not chosen.get("tool_calls"):
            return self._none("its alternate is identical")
        rejected = {"role": "assistant", "content": alternate}
        return {"prompt": self._before(index), "chosen": [chosen], "rejected": [rejected]} | self._tools(index)

    def _none(self, reason: str) -> dict[str, Any] | None:
        self.left_out[reason] += 1
        return None

    def _before(self, index: int) -> list[ChatMessage]:
        return self._conversations.before(index, self._keys if self.context == "without" else ())

    @property
    def _keys(self) -> Collection[str]:
        return {memory.key for memory in self.prompt.memories}

    def _tools(self, index: int) -> dict[str, Any]:
        tools = self._conversations.tools(index)
        return {"tools": list(tools)} if tools else {}

    def _provenance(self, target: RecordTarget, index: int) -> dict[str, Any]:
        apart = self.context == "without" or target == "sdft"
        provenance: dict[str, Any] = msgspec.to_builtins(self.origin) | {
            "response": self.identities[index],
            "index": index,
            "context": "without" if apart else "with",
            "removed_memories": list(self._conversations.memories(index)) if apart else [],
            "divergence": self.divergences.get(index),
        }
        if self.redactions is not None:  # a list, since columnar libraries do not accept empty objects
            provenance["redacted"] = [{"rule": rule, "count": n} for rule, n in sorted(self.redactions.items())]
        return provenance


def json_lines(records: Collection[Mapping[str, Any]]) -> str:
    """Return records as JSON Lines."""
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records)


def check_destination(path: Path, *, force: bool) -> None:
    """Check that a file can be written, before doing any work for it.

    Raises:
        UsageError: It exists and `force` is not set, it is not a regular file, or its folder does not exist.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a regular file; omit --output to write to stdout")
    if path.exists() and not force:
        raise UsageError(f"{path}: the file exists; choose another name, or overwrite it with --force")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")


def write_atomically(path: Path, text: str, *, force: bool) -> None:
    """Write a file atomically, readable only by its owner, since sessions are private.

    Args:
        path: The file.
        text: The content.
        force: Overwrite an existing file.

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
            path.hardlink_to(temporary)  # unlike a rename, this never overwrites a file created meanwhile
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            check_destination(path, force=False)
        else:
            return
    temporary.replace(path)
