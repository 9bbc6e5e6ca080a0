"""Adapt chat messages to the capabilities of a template; changes are reported as notes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from memscope.prompt.template.chat_template import TemplateCapabilities
from memscope.prompt.template.messages import Call, Message, Part, join_messages
from memscope.session.nodes import ToolCall
from memscope.session.text import THINKING_END, leaf_text

__all__ = ["adapt_messages"]

_ROLES = {"system", "user", "assistant", "tool"}
_SYSTEM_ROLES = {"developer", "memory"}


def adapt_messages(
    messages: Sequence[Message], capabilities: TemplateCapabilities, add_note: Callable[[str], None]
) -> list[Message]:
    """Return the messages in a form that the template accepts, in the same order.

    Args:
        messages: The messages of a session.
        capabilities: The capabilities of the template.
        add_note: Called with one line for every change; a line may be repeated.
    """
    adapting = _Adapter(capabilities, add_note)
    fitted = [adapting.shape(message) for message in _answering(messages)]
    return adapting.turns(adapting.systems(fitted))


def _answering(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield the messages, adding to each tool result the id and name of its call, which some templates require."""
    open_calls: deque[Call] = deque()
    for message in messages:
        open_calls.extend(message.calls)
        if message.role != "tool" or not open_calls:
            yield message
            continue
        number = message.fields.get("tool_call_id")
        call = next((call for call in open_calls if call.number == number), open_calls[0])
        open_calls.remove(call)
        yield replace(message, fields={"tool_call_id": call.number, "name": call.name} | dict(message.fields))


class _Adapter:
    def __init__(self, capabilities: TemplateCapabilities, add_note: Callable[[str], None]) -> None:
        self._supports = capabilities
        self._add_note = add_note

    def shape(self, message: Message) -> Message:
        """Adapt one message."""
        message = self._role(message)
        if message.calls and not self._supports.calls:
            self._add_note("the chat template does not support tool calls: they are written as text")
            texts = tuple(Part(leaf_text(ToolCall(name=c.name, arguments=c.arguments)), c.owner) for c in message.calls)
            message = replace(message, content=message.content + texts, calls=())
        if message.reasoning and not self._supports.reasoning:
            self._add_note("the chat template does not support reasoning: it is written as <think> text")
            message = replace(message, content=(*_thoughts(message), *message.content), reasoning=())
        return message

    def _role(self, message: Message) -> Message:
        if message.role == "tool" and not self._supports.tool:
            self._add_note("the chat template does not support tool results: they are written as user turns")
            return replace(message, role="user")
        if message.role in _ROLES:
            return message
        role = "system" if message.role in _SYSTEM_ROLES else "user"
        self._add_note(f"the chat template has no role {message.role!r}: it is written as {role!r}")
        return replace(message, role=role)

    def systems(self, messages: Sequence[Message]) -> list[Message]:
        """Merge system messages into user turns where the template does not accept them."""
        head = list(takewhile(lambda message: message.role == "system", messages))
        rest = list(messages[len(head) :])
        if head and not self._supports.system:
            self._add_note(
                "the chat template accepts no system message: system content and memories go into the user's turns"
            )
            head = [_joining(message) for message in head]
        elif len(head) > 1 and not self._supports.systems:
            self._add_note("the chat template accepts one system message: system content and memories are joined in it")
            head = [join_messages(head)]
        if not self._supports.system_inside and any(message.role == "system" for message in rest):
            self._add_note(
                "the chat template accepts no system message inside the conversation: these go into the user's turns"
            )
            rest = [_joining(message) if message.role == "system" else message for message in rest]
        return head + rest

    def turns(self, messages: Sequence[Message]) -> list[Message]:
        """Join consecutive messages of one role and insert a leading user turn, if the template requires it."""
        groups: list[list[Message]] = []
        for message in messages:
            if groups and self._same_turn(groups[-1][-1], message):
                groups[-1].append(message)
            else:
                groups.append([message])
        found = [join_messages(group) for group in groups]
        first = next((n for n, message in enumerate(found) if message.role != "system"), None)
        if first is not None and found[first].role != "user" and not self._supports.assistant_first:
            self._add_note("the chat template requires a user turn first: an empty one is inserted")
            found.insert(first, Message("user", owners=(replace(found[first].owners[0], response=None),)))
        return found

    def _same_turn(self, before: Message, message: Message) -> bool:
        if before.role != message.role or message.role not in ("user", "assistant"):
            return False
        if not before.joins and not self._supports.repeats and not message.joins:
            self._add_note("the chat template requires alternating roles: consecutive turns of one role are joined")
        return before.joins or not self._supports.repeats


def _joining(message: Message) -> Message:
    return replace(message, role="user", joins=True)


def _thoughts(message: Message) -> Iterator[Part]:
    """Yield reasoning as text; the end of the last thought is not scored if the response ended before it."""
    for number, part in enumerate(message.reasoning, 1):
        if number == len(message.reasoning) and message.cut_in_reasoning:
            yield replace(part, text=f"<think>\n{part.text}")
            yield Part(THINKING_END, replace(part.owner, response=None))
        else:
            yield replace(part, text=f"<think>\n{part.text}{THINKING_END}")
