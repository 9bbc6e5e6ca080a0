"""Letta agent files (`.af`): version 2 with `agents` and `blocks`, and version 1 with `core_memory`.

An agent file holds the context as it was when the file was exported. The messages in it stand in the order of the
agent's `in_context_message_ids` (version 1: `in_context_message_indices`), which need not be the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from memscope.session.apis.base import Part
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.chat_tools import chat_tool
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import field_error
from memscope.session.formats.letta.blocks import block_label, marked_blocks, rebuilt_system_message
from memscope.session.formats.letta.messages import letta_message
from memscope.session.formats.selection import Candidate, choose
from memscope.session.formats.transcript import Transcript
from memscope.session.nodes import Session
from memscope.terminal.counts import counted

__all__ = ["FORMAT", "read_letta"]


class _Record(NamedTuple):
    """An object of the file, and its place for errors."""

    value: Mapping[str, Any]
    where: str


class _Agent(NamedTuple):
    """One agent of a file, whichever its version.

    Attributes:
        record: The agent.
        blocks: The memory blocks attached to it; None for one that is not in the file.
        messages: Its messages.
        context: Those in the context, in order; None for one that is not in the file.
        tools: Its tools; None for one that is not in the file.
    """

    record: _Record
    blocks: Sequence[_Record | None]
    messages: Sequence[_Record]
    context: Sequence[_Record | None]
    tools: Sequence[_Record | None]

    @property
    def id(self) -> str:
        """The name to pick it by."""
        return str(self.record.value.get("name") or self.record.value.get("id") or "agent")


def read_letta(document: Any, name: str, new_detector: NewDetector, *, pick: str | None = None) -> Session:
    """Convert a decoded document.

    Args:
        document: An agent file.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.
        pick: Name of the agent to read; None for the first with memories and responses.

    Raises:
        SessionError: A field is invalid; the error names it.
        UsageError: No agent has the name `pick`.
    """
    if not isinstance(document, dict):
        raise field_error(name, "", "an agent file", document)
    file = _Record(document, name)
    agents = list(_second_version(file)) if "agents" in document else [_first_version(file)]
    if not agents:
        raise field_error(name, "agents", "at least one agent", [])
    candidates = [Candidate(agent.id, partial(_session, agent, name, new_detector)) for agent in agents]
    return choose(candidates, kind="agent", name=name, pick=pick)


def _second_version(file: _Record) -> Iterator[_Agent]:
    """Yield the agents of a file that refers to messages, blocks and tools by id."""
    blocks, tools = _by_id(_records(file, "blocks")), _by_id(_records(file, "tools"))
    for record in _records(file, "agents"):
        messages = _records(record, "messages")
        ids = _by_id(messages)
        wanted = _list(record, "in_context_message_ids")
        yield _Agent(
            record=record,
            blocks=[_get(blocks, id_) for id_ in _list(record, "block_ids")],
            messages=messages,
            context=[_get(ids, id_) for id_ in wanted] if wanted else _assumed_context(messages),
            tools=[_get(tools, id_) for id_ in _list(record, "tool_ids")],
        )


def _first_version(file: _Record) -> _Agent:
    """Return the only agent of a file that refers to its messages by position."""
    messages = _records(file, "messages")
    wanted = _list(file, "in_context_message_indices")
    positions = dict(enumerate(messages))
    return _Agent(
        record=file,
        blocks=_records(file, "core_memory"),
        messages=messages,
        context=[_get(positions, index) for index in wanted] if wanted else _assumed_context(messages),
        tools=_records(file, "tools"),
    )


def _assumed_context(messages: Sequence[_Record]) -> list[_Record]:
    """Return the context of an agent that does not list it.

    That is the newest system message, which replaced those before it, and all other messages.
    """
    system = [record for record in messages if record.value.get("role") == "system"]
    return [*system[-1:], *(record for record in messages if record.value.get("role") != "system")]


def _session(agent: _Agent, name: str, new_detector: NewDetector) -> Session:
    transcript = Transcript(name, FORMAT.name, new_detector)
    _note_lacks(agent, transcript)
    labels = [block_label(block.value) for block in agent.blocks if block is not None]
    context = [record for record in agent.context if record is not None]
    if not (context and context[0].value.get("role") == "system"):
        _rebuild_system_message(agent, transcript)
    for record in context:
        _add(record, labels, transcript)
    config = agent.record.value.get("llm_config")
    model = config.get("model") if isinstance(config, dict) and not transcript.models else ""
    return transcript.session(
        begins=[agent.id, agent.record.value.get("id")],
        title=agent.id,
        models=[model],
        whole=False,
        tools=[chat_tool(schema) for schema in map(_schema, agent.tools) if schema is not None],
    )


def _add(record: _Record, labels: Sequence[str], transcript: Transcript) -> None:
    """Add a message; in a system message the blocks are the memories, and nothing else is."""
    message = letta_message(record.value, record.where)
    if message is None:
        transcript.builder.skip("empty message")
        return
    is_system = message["role"] == "system"
    if is_system:
        message = {**message, "content": [part for one in message["content"] for part in _marked(one, labels)]}
        _note_absent_blocks(message, labels, transcript)
    model = record.value.get("model") if message["role"] == "assistant" else None
    transcript.add(message, record.where, model=model, detect=not (is_system and labels))


def _note_lacks(agent: _Agent, transcript: Transcript) -> None:
    note = transcript.builder.note
    note("an agent file has the context of its last moment: earlier responses may have seen other values of the blocks")
    for kind, records in (("message", agent.context), ("memory block", agent.blocks), ("tool", agent.tools)):
        if missing := sum(record is None for record in records):
            note(f"{counted(missing, kind)} of the agent not in the file")
    in_context = {id(record) for record in agent.context}
    if evicted := sum(id(record) not in in_context for record in agent.messages):
        transcript.builder.skip("evicted message", evicted)


def _note_absent_blocks(message: Part, labels: Sequence[str], transcript: Transcript) -> None:
    present = {part["memory"]["key"] for part in message["content"] if "memory" in part}
    if absent := [label for label in labels if label not in present]:
        transcript.builder.note(f"blocks that the system message lacks: {', '.join(absent)}")


def _rebuild_system_message(agent: _Agent, transcript: Transcript) -> None:
    instructions = agent.record.value.get("system")
    where = f"{agent.record.where}: field 'system'"
    if instructions is not None and not isinstance(instructions, str):
        raise field_error(agent.record.where, "system", "a string", instructions)
    parts = rebuilt_system_message(instructions or "", [block.value for block in agent.blocks if block])
    transcript.add({"role": "system", "content": parts}, where)
    transcript.builder.note("the system message was rebuilt from the agent's instructions and blocks")


def _marked(part: Part, labels: Sequence[str]) -> list[Part]:
    return marked_blocks(part["text"], labels) if part["type"] == "text" and "memory" not in part else [part]


def _schema(tool: _Record | None) -> Any:
    schema = tool.value.get("json_schema") if tool else None
    return schema if isinstance(schema, dict) else None


def _list(record: _Record, field: str) -> list[Any]:
    value = record.value.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise field_error(record.where, field, "a list", value)
    return value


def _records(record: _Record, field: str) -> list[_Record]:
    found = []
    for number, value in enumerate(_list(record, field)):
        if not isinstance(value, dict):
            raise field_error(record.where, f"{field}[{number}]", "a JSON object", value)
        found.append(_Record(value, f"{record.where}: {field}[{number}]"))
    return found


def _by_id(records: Iterable[_Record]) -> dict[Any, _Record]:
    return {id_: record for record in records if isinstance(id_ := record.value.get("id"), str)}


def _get(records: Mapping[Any, _Record], key: Any) -> _Record | None:
    return records.get(key) if isinstance(key, str | int) else None


def _recognises(head: FileHead) -> bool:
    value = head.value
    if isinstance(value, str):
        value = FileHead(value.encode("utf-8", "surrogatepass")).value
    match value:
        case {"agents": list(), "blocks": list()} | {"core_memory": list(), "messages": list()}:
            return True
    return False


def _format(pick: str | None) -> SessionFormat:
    return document_format(
        name="letta",
        expected="a Letta agent file",
        recognises=_recognises,
        read=partial(read_letta, pick=pick),
        picking=_format,
    )


FORMAT = _format(None)
