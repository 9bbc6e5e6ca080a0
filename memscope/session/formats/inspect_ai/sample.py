"""Read one sample of an inspect_ai log: every model event is a call with its own prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from memscope.session.apis.parts import as_dict, as_text
from memscope.session.formats.base import NewDetector
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.fields import field_error
from memscope.session.formats.inspect_ai.messages import Attachments, inspect_message
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session
from memscope.session.timestamps import as_timestamp

__all__ = ["InspectLog", "read_sample"]

Record = Mapping[str, Any]

_STOPPED = ("max_tokens", "model_length", "content_filter")
"""Reasons why a response ended before the model ended it."""


class InspectLog(NamedTuple):
    """What the samples of a log share.

    Attributes:
        name: The file name, for error messages.
        format_name: The name of the file's format.
        header: The log without its samples.
    """

    name: str
    format_name: str
    header: Record

    @property
    def evaluation(self) -> Record:
        """The evaluation's description; empty if the log has none."""
        return as_dict(self.header.get("eval"))


def read_sample(sample: Record, log: InspectLog, sample_id: str, new_detector: NewDetector) -> Session:
    """Convert one sample.

    Args:
        sample: The sample.
        log: The log it belongs to.
        sample_id: The name that the sample is picked by.
        new_detector: Creates the memory detector.

    Raises:
        SessionError: A field is invalid; the error names the sample, the event and the field.
    """
    where = f"{log.name}: sample {sample_id}"
    transcript = Transcript(log.name, log.format_name, new_detector)
    messages = _Messages(sample, transcript, where)
    events = [event for event in _list(sample, "events", where) if _is_model_event(event)]
    for number, event in enumerate(events):
        _add_call(event, messages, f"{where}: model event {number}", str(event.get("uuid") or number))
    if not events:
        transcript.builder.note("the sample has no model events: every response has the whole conversation before it")
        for number, message in enumerate(_list(sample, "messages", where)):
            messages.add(message, f"{where}: message {number}")
    evaluation = log.evaluation
    return transcript.session(
        begins=[evaluation.get("eval_id"), sample_id],
        title=f"{evaluation.get('task') or 'evaluation'} {sample_id}",
        models=[] if events else [evaluation.get("model")],
        whole=bool(events) and not messages.lacks,
    )


class _Messages:
    """Adds the messages of one sample to a transcript.

    Attributes:
        lacks: Whether some text is not in the file.
    """

    def __init__(self, sample: Record, transcript: Transcript, where: str) -> None:
        self.transcript = transcript
        self.lacks = False
        self._attachments: Attachments = as_dict(sample.get("attachments"))
        self._pool = _list(as_dict(sample.get("events_data")), "messages", where)
        self._pool = self._pool or _list(sample, "message_pool", where)  # its name in the first logs that had one
        self._pool_positions: dict[int, int] = {}

    def add(self, message: Any, where: str, model: Any = None) -> int:
        canonical = inspect_message(message, self._attachments, where)
        self.lacks |= any(part.get("kind") == "missing attachment" for part in canonical["content"])
        return self.transcript.add_once(canonical, where, model=model)

    def prompt(self, event: Record, where: str) -> list[int]:
        references = _list(event, "input_refs", where)
        if not references:
            messages = enumerate(_list(event, "input", where))
            return [self.add(message, f"{where}: input {number}") for number, message in messages]
        return [self._pooled(at, where) for reference in references for at in self._range(reference, event, where)]

    def _range(self, reference: Any, event: Record, where: str) -> range:
        match reference:
            case [int(start), int(end)] if 0 <= start <= end <= len(self._pool):
                return range(start, end)
        expected = f"ranges of the {len(self._pool)} pooled messages"
        raise field_error(where, "input_refs", expected, event["input_refs"])

    def _pooled(self, at: int, where: str) -> int:
        """Return the position of a message of the pool, which every later call of the sample may refer to."""
        if at not in self._pool_positions:
            self._pool_positions[at] = self.add(self._pool[at], f"{where}: pooled message {at}")
        return self._pool_positions[at]


def _add_call(event: Record, messages: _Messages, where: str, call_id: str) -> None:
    output = as_dict(event.get("output"))
    model = as_text(output.get("model")) or as_text(event.get("model"))
    choices = _list(output, "choices", where)
    if len(choices) > 1:
        messages.transcript.builder.note("of several choices of one call, the first was read")
    choice = as_dict(choices[0]) if choices and not event.get("error") else {}
    prompt = messages.prompt(event, where)
    answer = choice.get("message")
    messages.transcript.call(
        call_id,
        prompt=prompt,
        response=None if answer is None else messages.add(answer, f"{where}: output", model),
        tools=_tools(event, where),
        model=model,
        timestamp=as_timestamp(event.get("timestamp")),
        status="failed" if answer is None else "cut" if choice.get("stop_reason") in _STOPPED else "complete",
        extra={"error": error} if (error := as_text(event.get("error")) or as_text(output.get("error"))) else {},
    )


def _tools(event: Record, where: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(chat_tool(tool) for tool in _list(event, "tools", where) if isinstance(tool, dict))


def _is_model_event(event: Any) -> bool:
    return isinstance(event, dict) and event.get("event") == "model" and not event.get("pending")


def _list(record: Record, field: str, where: str) -> list[Any]:
    value = record.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise field_error(where, field, "a list", value)
    return value
