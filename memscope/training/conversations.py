"""Responses and the messages before them as OpenAI-style chat messages, for exports.

Tool arguments are JSON text, as in OpenAI's API: libraries that store records in columns would otherwise add every
argument name to every call.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from memscope.prompt.calls import CallSequence, call_sequences
from memscope.prompt.places import session_places
from memscope.prompt.template.messages import Message, chat_messages
from memscope.session.nodes import Session

__all__ = ["ChatMessage", "Conversations"]

ChatMessage: TypeAlias = dict[str, Any]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class _Split:
    """The messages of a sequence, and the place of a response among them."""

    messages: Sequence[Message]
    place: int
    tools: Sequence[Mapping[str, Any]]
    raw: bool

    @property
    def before(self) -> Sequence[Message]:
        return self.messages[: self.place]

    @property
    def response(self) -> Message:
        return self.messages[self.place]


class Conversations:
    """The messages of a session, split at each response."""

    def __init__(self, session: Session) -> None:
        """Convert a session."""
        sequences = call_sequences(session) if session.calls else [CallSequence(tuple(session_places(session)))]
        self._splits: dict[int, _Split] = {}
        for one in sequences:
            messages = chat_messages(one.places)
            for place, message in enumerate(messages):
                split = _Split(messages, place, one.tools or session.tools, one.raw)
                self._splits |= dict.fromkeys(message.responses, split)

    def tools(self, response: int) -> Sequence[Mapping[str, Any]]:
        """Return the tool definitions that were sent for a response."""
        return self._splits[response].tools

    def is_raw(self, response: int) -> bool:
        """Return whether a response continues a raw text, which is no conversation."""
        return self._splits[response].raw

    def before(self, response: int, without: Collection[str]) -> list[ChatMessage]:
        """Return the messages before a response.

        Args:
            response: Its index.
            without: Keys of memories to leave out; messages that are empty without them are dropped.
        """
        kept = (_without_memories(message, without) for message in self._splits[response].before)
        return _with_call_ids([_as_openai(message) for message in kept if _says_something(message)])

    def response(self, response: int) -> ChatMessage:
        """Return the response itself, without memories inside it, which the model did not write."""
        message = self._splits[response].response
        return _as_openai(
            _without_memories(message, {part.owner.memory for part in message.content if part.owner.memory is not None})
        )

    def begun(self, response: int) -> str:
        """Return the text that a response continues in its own turn; "" if the request began no turn."""
        parts = self._splits[response].response.content
        return "".join(part.text for part in parts if part.owner.response is None and part.owner.memory is None)

    def memories(self, response: int) -> dict[str, list[str]]:
        """Return the texts of the memories before a response by key, each text once, in order of first appearance."""
        texts: dict[str, list[str]] = {}
        for message in self._splits[response].before:
            for part in message.content:
                if part.owner.memory is not None and part.text not in texts.setdefault(part.owner.memory, []):
                    texts[part.owner.memory].append(part.text)
        return texts


def _without_memories(message: Message, without: Collection[str]) -> Message:
    return replace(message, content=tuple(part for part in message.content if part.owner.memory not in without))


def _says_something(message: Message) -> bool:
    return bool(message.calls or any(part.text for part in (*message.content, *message.reasoning)))


def _as_openai(message: Message) -> ChatMessage:
    made = message.as_dict()
    if message.role not in _ROLES:
        made["role"] = "system" if message.role == "memory" else "user"
    if message.calls:
        made["tool_calls"] = list(_calls(made["tool_calls"]))
    return made


def _calls(calls: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for call in calls:
        arguments = call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        yield {**call, "function": {**call["function"], "arguments": text}}


def _with_call_ids(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Give each tool result the id of its call if the session has none; results are assumed to be in order."""
    open_calls: deque[str] = deque()
    for message in messages:
        open_calls.extend(call["id"] for call in message.get("tool_calls", ()))
        if message["role"] != "tool":
            continue
        if message.get("tool_call_id") in open_calls:
            open_calls.remove(message["tool_call_id"])
        elif "tool_call_id" not in message and open_calls:
            message["tool_call_id"] = open_calls.popleft()
    return messages
