"""A conversation whose messages were kept by an agent's framework: what importers of such files have in common."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from memscope.session.apis.base import Message
from memscope.session.formats.base import NewDetector
from memscope.session.formats.builder import SessionBuilder, has_mark
from memscope.session.identity import file_session_id
from memscope.session.nodes import Session
from memscope.session.text import HEAD_ROLES

__all__ = ["Transcript", "joined_names"]


class Transcript:
    """Collects canonical messages, and tells what the file lacks of the context that the model saw.

    Attributes:
        builder: Builds the session.
        models: Names of the models that wrote its messages, in order.
    """

    def __init__(self, name: str, format_name: str, new_detector: NewDetector) -> None:
        """Create an empty conversation.

        Args:
            name: The file name, for error messages.
            format_name: The name of the file's format.
            new_detector: Creates the memory detector.
        """
        self.builder = SessionBuilder(name, format_name, new_detector())
        self._name, self._format = name, format_name
        self.models: dict[str, None] = {}
        self._head: Message | None = None
        self._first: Message | None = None
        self._calls_tools = False
        self._has_tools = False
        self._positions: dict[bytes, int] = {}
        self._names: Counter[str] = Counter()

    def add(self, message: Message, where: str, *, model: Any = None, detect: bool | None = None) -> int:
        """Add the next message and return its position.

        Args:
            message: The canonical message.
            where: File and place, for errors.
            model: Name of the model that wrote it; anything but a name is ignored.
            detect: See `SessionBuilder.message`; by default, messages without a mark are searched.

        Raises:
            SessionError: The message is invalid; the error names the field.
        """
        searched = not has_mark(message) if detect is None else detect
        position = self.builder.message(message, where, detect=searched)
        if isinstance(model, str) and model:
            self.models.setdefault(model)
        self._calls_tools |= any(part["type"] == "tool_call" for part in message["content"])
        if message["role"] in HEAD_ROLES and self._first is None:
            self._head = self._head or message
        else:
            self._first = self._first or message
        return position

    def add_once(self, message: Message, where: str, *, model: Any = None) -> int:
        """Return the position of an equal message that was added this way before, or add it; see `add`.

        What the prompts of several calls share is searched for memories once.
        """
        identity = hashlib.blake2b(msgspec.json.encode(message), digest_size=16).digest()
        if identity not in self._positions:
            self._positions[identity] = self.add(message, where, model=model)
        return self._positions[identity]

    def call(self, name: str, *, tools: Sequence[Mapping[str, Any]] = (), **fields: Any) -> None:
        """Add a call; see `SessionBuilder.call`.

        Args:
            name: Its id in the file; of several with the same one, the later ones get a number too.
            tools: The definitions of the tools that were sent.
            fields: What the builder's `call` takes beside them.
        """
        self._has_tools |= bool(tools)
        self._names[name] += 1
        unique = name if self._names[name] == 1 else f"{name}/{self._names[name]}"
        self.builder.call(id=unique, tools=tuple(tools), **fields)

    @property
    def has_system_message(self) -> bool:
        """Whether the conversation begins with a system message."""
        return self._head is not None

    def note_hosted(self, kinds: Iterable[str]) -> None:
        """Note tools that the service defines itself.

        Args:
            kinds: Their types.
        """
        for kind in kinds:
            self.builder.note(f"the definition of the tool {kind} is the service's own and not in the file")

    def session(
        self,
        *,
        begins: Any = None,
        title: str = "",
        models: Iterable[Any] = (),
        whole: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
        from_disk: Sequence[str] = (),
    ) -> Session:
        """Return the session of the messages added so far.

        Args:
            begins: What identifies the conversation within its file; by default its first message.
            title: Its title; by default the file name.
            models: Names of models that answered, beside those of the messages.
            whole: Whether the file holds the whole context, as far as its format tells.
            tools: The definitions of the tools of a session without calls, if the file has them.
            from_disk: Paths of the memory files that were read from disk.
        """
        if lacks_tools := self._calls_tools and not tools and not self._has_tools:
            self.builder.note("the definitions of the tools are not in the file")
        if from_disk:
            self.builder.note(f"{', '.join(from_disk)} read from disk, may have changed")
        session = self.builder.session(
            id=file_session_id(self._format, self._name, begins or self._first or self._head),
            title=title or PurePath(self._name).stem,
            model=joined_names([*self.models, *models]),
            whole=whole and not lacks_tools,
            tools=tools,
        )
        if not from_disk:
            return session
        return msgspec.structs.replace(session, source=msgspec.structs.replace(session.source, context="from disk"))


def joined_names(names: Iterable[Any]) -> str:
    """Return distinct names in order, such as those of the models that answered; what is not a name is left out."""
    return ", ".join(dict.fromkeys(name for name in names if isinstance(name, str) and name))
