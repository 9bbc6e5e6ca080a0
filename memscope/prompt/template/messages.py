"""Nodes as chat messages whose parts refer to the nodes they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from memscope.prompt.places import Place
from memscope.prompt.responses import node_label
from memscope.session.nodes import (
    RESULT_FIELD,
    Branch,
    Leaf,
    Log,
    Memory,
    Node,
    Opaque,
    Section,
    Thinking,
    ToolCall,
    ToolResult,
)

__all__ = ["Call", "Message", "Owner", "Part", "chat_messages", "join_messages"]

_SEPARATOR = "\n\n"
_KEPT_FIELDS = ("name", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Owner:
    """The node, memory or response that a text belongs to; the fields are those of a `TokenSpan`."""

    section: Section
    position: int
    label: str
    memory: str | None = None
    response: int | None = None
    last: int = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message's text and its owner."""

    text: str
    owner: Owner


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a message."""

    name: str
    arguments: Any
    number: str
    owner: Owner

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dict in the format of chat APIs."""
        return {"id": self.number, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    Attributes:
        role: Its role.
        content: The parts of its text, which are concatenated without separator.
        reasoning: The parts of its reasoning.
        calls: Its tool calls.
        fields: Other fields that templates use.
        memory: The key of the memory that the whole message belongs to, if any.
        owners: The owners of the nodes it was made from, in order.
        joins: Whether it is merged into the next user turn.
        cut: Whether it is a response that ended early, so that the end of its turn is not scored.
    """

    role: str
    content: tuple[Part, ...] = ()
    reasoning: tuple[Part, ...] = ()
    calls: tuple[Call, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    memory: str | None = None
    owners: tuple[Owner, ...] = ()
    joins: bool = False
    cut: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as a dict in the format of chat APIs."""
        made: dict[str, Any] = {"role": self.role, "content": "".join(part.text for part in self.content)}
        if self.reasoning:
            made["reasoning_content"] = "\n".join(part.text for part in self.reasoning)
        if self.calls:
            made["tool_calls"] = [call.as_dict() for call in self.calls]
        return made | dict(self.fields)

    @property
    def responses(self) -> tuple[int, ...]:
        """Indices of the responses among its nodes."""
        return tuple(owner.response for owner in self.owners if owner.response is not None)

    @property
    def cut_in_reasoning(self) -> bool:
        """Whether it is a response that ended within its reasoning, whose end is not scored then."""
        return self.cut and bool(self.reasoning) and not self.calls and not any(part.text for part in self.content)

    @property
    def frame(self) -> Owner:
        """The owner of the template text around the message."""
        head = next((owner for owner in self.owners if owner.section != "conversation"), None)
        first = head or self.owners[0]
        return replace(first, memory=self.memory, response=None, last=self.owners[-1].position)


def chat_messages(places: Iterable[Place]) -> list[Message]:
    """Return nodes as chat messages, without regard to the capabilities of a template.

    A turn with tool results, which some APIs send inside a user turn, becomes one message per result and one for the
    rest. A response that continues the turn before it becomes one message with it.
    """
    numbers = _call_numbers()
    found: list[Message] = []
    for place in places:
        if isinstance(place.node, Log | Opaque):
            continue
        messages = list(_messages(place, numbers))
        if place.continues and found:
            found[-1] = _continued(found[-1], messages[0])
        else:
            found += messages
    return found


def join_messages(messages: Sequence[Message]) -> Message:
    """Join several messages of one role, with an empty line between their texts.

    The empty line next to a memory belongs to the memory, so that leaving it out leaves no gap.
    """
    if len(messages) == 1:
        return messages[0]
    filled = [message for message in messages if any(part.text for part in message.content)]
    return Message(
        role=messages[0].role,
        content=tuple(_separated([message.content for message in filled])),
        reasoning=tuple(part for message in messages for part in message.reasoning),
        calls=tuple(call for message in messages for call in message.calls),
        fields=messages[0].fields,
        owners=tuple(owner for message in messages for owner in message.owners),
        cut=messages[-1].cut,
    )


def _messages(place: Place, numbers: Iterator[str]) -> Iterator[Message]:
    node = place.node
    owner = Owner(place.section, place.position, node_label(node), response=place.response)
    if not isinstance(node, Branch):
        yield _message(node, (node,), owner, numbers, cut=place.cut)
        return
    for result, group in groupby(node.children, key=_result_id):
        leaves = tuple(group)
        message = _message(node, leaves, owner, numbers, cut=place.cut)
        if result is not None:
            yield replace(message, role="tool", fields=message.fields | ({"tool_call_id": result} if result else {}))
        elif leaves:
            yield message
    if not node.children:
        yield _message(node, (), owner, numbers, cut=place.cut)


def _result_id(leaf: Leaf) -> str | None:
    """Return the id of the tool result that a leaf is, or belongs to; "" if it has none; None if it is no result."""
    if isinstance(leaf, ToolResult):
        return str(leaf.extra.get("id") or "")
    return str(leaf.extra[RESULT_FIELD]) if isinstance(leaf, Memory) and RESULT_FIELD in leaf.extra else None


def _continued(begun: Message, response: Message) -> Message:
    return replace(
        begun,
        content=(*begun.content, *response.content),
        reasoning=(*begun.reasoning, *response.reasoning),
        calls=(*begun.calls, *response.calls),
        owners=(*begun.owners, *response.owners),
        cut=response.cut,
    )


def _message(node: Node, leaves: Sequence[Leaf], owner: Owner, numbers: Iterator[str], *, cut: bool) -> Message:
    content, reasoning, calls = [], [], []
    for leaf in leaves:
        match leaf:
            case Thinking():
                reasoning.append(Part(leaf.text, owner))
            case ToolCall():
                number = str(leaf.extra.get("id") or next(numbers))
                calls.append(Call(leaf.name, {} if leaf.arguments is None else leaf.arguments, number, owner))
            case Memory():
                content.append(Part(leaf.text, replace(owner, memory=leaf.key, response=None)))
            case Log() | Opaque():
                pass
            case _:
                content.append(Part(leaf.text, owner))
    extra = {name: node.extra[name] for name in _KEPT_FIELDS if name in node.extra}
    key = node.key if isinstance(node, Memory) else None
    return Message(_role(node), tuple(content), tuple(reasoning), tuple(calls), extra, key, (owner,), cut=cut)


def _role(node: Node) -> str:
    match node:
        case Branch():
            return node.role
        case ToolResult():
            return "tool"
        case Thinking() | ToolCall():
            return "assistant"
        case _:
            return "system"


def _separated(contents: Sequence[tuple[Part, ...]]) -> Iterator[Part]:
    """Yield the parts of several messages with separators between them.

    Up to the first message that is not a memory, a separator belongs to the message before it, later to the one after.
    """
    anchored = False
    for number, parts in enumerate(contents):
        is_last = number + 1 == len(contents)
        of_memory = all(part.owner.memory is not None for part in parts)
        before = _SEPARATOR if anchored else ""
        anchored = anchored or not of_memory
        after = "" if anchored or is_last else _SEPARATOR
        yield from _framed(before, parts, after)


def _framed(before: str, parts: tuple[Part, ...], after: str) -> Iterator[Part]:
    for number, part in enumerate(parts):
        start = before if number == 0 else ""
        end = after if number + 1 == len(parts) else ""
        yield replace(part, text=start + part.text + end)


def _call_numbers() -> Iterator[str]:
    """Yield ids for tool calls without one; some templates require nine letters and digits."""
    number = 0
    while True:
        number += 1
        yield f"call{number:05d}"
