"""Chat messages fitted to what a template takes; whatever is changed is said once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from memscope.prompt.template.chat_template import Abilities
from memscope.prompt.template.messages import Call, Message, Part, join_messages
from memscope.session.nodes import ToolCall
from memscope.session.text import leaf_text

__all__ = ["adapt_messages"]

_ROLES = {"system", "user", "assistant", "tool"}
_SYSTEM_ROLES = {"developer", "memory"}


def adapt_messages(messages: Sequence[Message], abilities: Abilities, say: Callable[[str], None]) -> list[Message]:
    """Return the messages as the template takes them, in the same order.

    Args:
        messages: The messages of a session.
        abilities: What the template takes.
        say: Called with a line for everything that had to be changed; the same line may come several times.
    """
    adapting = _Adapter(abilities, say)
    fitted = [adapting.shape(message) for message in _answering(messages)]
    return adapting.turns(adapting.systems(fitted))


def _answering(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield the messages, tool results with the id and name of the call that they answer, which templates ask for."""
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
    def __init__(self, abilities: Abilities, say: Callable[[str], None]) -> None:
        self._can = abilities
        self._say = say

    def shape(self, message: Message) -> Message:
        """Fit one message by itself."""
        message = self._role(message)
        if message.calls and not self._can.calls:
            self._say("the chat template does not support tool calls: they are written as text")
            texts = tuple(Part(leaf_text(ToolCall(name=c.name, arguments=c.arguments)), c.owner) for c in message.calls)
            message = replace(message, content=message.content + texts, calls=())
        if message.reasoning and not self._can.reasoning:
            self._say("the chat template does not support reasoning: it is written as <think> text")
            texts = tuple(replace(part, text=f"<think>\n{part.text}\n</think>\n") for part in message.reasoning)
            message = replace(message, content=texts + message.content, reasoning=())
        return message

    def _role(self, message: Message) -> Message:
        if message.role == "tool" and not self._can.tool:
            self._say("the chat template does not support tool results: they are written as user turns")
            return replace(message, role="user")
        if message.role in _ROLES:
            return message
        role = "system" if message.role in _SYSTEM_ROLES else "user"
        self._say(f"the chat template has no role {message.role!r}: it is written as {role!r}")
        return replace(message, role=role)

    def systems(self, messages: Sequence[Message]) -> list[Message]:
        """Let system messages join the user's turns where the template does not take them."""
        head = list(takewhile(lambda message: message.role == "system", messages))
        rest = list(messages[len(head) :])
        if head and not self._can.system:
            self._say(
                "the chat template accepts no system message: system content and memories go into the user's turns"
            )
            head = [_joining(message) for message in head]
        elif len(head) > 1 and not self._can.systems:
            self._say("the chat template accepts one system message: system content and memories are joined in it")
            head = [join_messages(head)]
        if not self._can.system_inside and any(message.role == "system" for message in rest):
            self._say(
                "the chat template accepts no system message inside the conversation: these go into the user's turns"
            )
            rest = [_joining(message) if message.role == "system" else message for message in rest]
        return head + rest

    def turns(self, messages: Sequence[Message]) -> list[Message]:
        """Join consecutive messages that must be one, and put a user turn first where the template requires it."""
        groups: list[list[Message]] = []
        for message in messages:
            if groups and self._same_turn(groups[-1][-1], message):
                groups[-1].append(message)
            else:
                groups.append([message])
        found = [join_messages(group) for group in groups]
        first = next((n for n, message in enumerate(found) if message.role != "system"), None)
        if first is not None and found[first].role != "user" and not self._can.assistant_first:
            self._say("the chat template requires the user to begin: an empty user turn is put first")
            found.insert(first, Message("user", owners=(replace(found[first].owners[0], response=None),)))
        return found

    def _same_turn(self, before: Message, message: Message) -> bool:
        if before.role != message.role or message.role not in ("user", "assistant"):
            return False
        if not before.joins and not self._can.repeats and not message.joins:
            self._say("the chat template requires alternating roles: consecutive turns of one role are joined")
        return before.joins or not self._can.repeats


def _joining(message: Message) -> Message:
    return replace(message, role="user", joins=True)
