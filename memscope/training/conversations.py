"""Responses and the messages before them as OpenAI-style chat messages, for exports.

Tool arguments are JSON text, as in OpenAI's API: libraries that store records in columns would otherwise add every
argument name to every call.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from memscope.prompt.prompt import Prompt
from memscope.prompt.template.messages import Message, session_messages
from memscope.session.nodes import Session

__all__ = ["ChatMessage", "Conversations"]

ChatMessage: TypeAlias = dict[str, Any]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


class Conversations:
    """The conversation of a session, split at each response."""

    def __init__(self, session: Session, prompt: Prompt) -> None:
        """Convert a session.

        Args:
            session: The session.
            prompt: The tokenised session.
        """
        self._messages = session_messages(session, {r.entry_index: r.index for r in prompt.responses})
        self._at = {index: n for n, message in enumerate(self._messages) for index in message.responses}

    def before(self, response: int, without: Collection[str]) -> list[ChatMessage]:
        """Return the messages before a response.

        Args:
            response: Its index.
            without: Keys of memories to leave out; messages that are empty without them are dropped.
        """
        kept = (_without_memories(message, without) for message in self._messages[: self._at[response]])
        return _with_call_ids([_as_openai(message) for message in kept if _says_something(message)])

    def response(self, response: int) -> ChatMessage:
        """Return the response itself, without memories inside it, which the model did not write."""
        message = self._messages[self._at[response]]
        return _as_openai(
            _without_memories(message, {part.owner.memory for part in message.content if part.owner.memory is not None})
        )

    def memories(self, response: int) -> dict[str, list[str]]:
        """Return the texts of the memories before a response by key, each text once, in order of first appearance."""
        texts: dict[str, list[str]] = {}
        for message in self._messages[: self._at[response]]:
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
