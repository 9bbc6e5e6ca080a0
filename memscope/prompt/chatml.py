r"""ChatML rendering: turns between `<|im_start|>` and `<|im_end|>`, every leaf encoded separately.

| node | ids, with E = `Tokenizer.encode` |
|---|---|
| branch | `<|im_start|>` E(role + "\n") children `<|im_end|>` E("\n") |
| top-level memory | as a branch with role `memory`, all of which belongs to the memory |
| top-level content | as a branch with role `system` |
| top-level tool_result | as a branch with role `tool` |
| top-level thinking, tool_call | as a branch with role `assistant`, which is not a response |
| child | E of its text |
| log | nothing |
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from memscope.errors import PromptError
from memscope.prompt.places import Place
from memscope.prompt.responses import node_label
from memscope.prompt.sequence import Rendered, TokenSequence, TokenSpan, id_array
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Leaf, Log, Memory, Opaque, Section, Thinking, ToolResult
from memscope.session.text import THINKING_END, leaf_text

__all__ = ["render_chatml"]


def render_chatml(places: Sequence[Place], tokenizer: Tokenizer) -> Rendered:
    """Render places as ChatML.

    Raises:
        PromptError: The tokenizer has no ChatML turn markers.
    """
    writer = _Writer(tokenizer)
    continued = [number + 1 < len(places) and places[number + 1].continues for number in range(len(places))]
    spans = (
        span for place, more in zip(places, continued, strict=True) for span in writer.node(place, closes=not more)
    )
    return Rendered((TokenSequence(spans),), notes=tuple(writer.notes))


_Owner: TypeAlias = tuple[str | None, int | None]
"""The memory that ids belong to, and the response that they are scored for."""


class _Writer:
    """Converts nodes to spans."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        start, end = tokenizer.token_id("<|im_start|>"), tokenizer.token_id("<|im_end|>")
        if start is None or end is None:
            raise PromptError("the tokenizer has no <|im_start|> and <|im_end|>, which ChatML requires")
        self._tokenizer = tokenizer
        self._start, self._end = id_array([start]), id_array([end])
        self._newline = id_array(tokenizer.encode("\n"))
        self._headers: dict[str, array[int]] = {}
        self.notes: list[str] = []

    def node(self, place: Place, *, closes: bool) -> Iterator[TokenSpan]:
        """Yield the spans of a top-level node.

        Args:
            place: The node and where it stands.
            closes: Whether its turn ends with it.
        """
        section, position, node = place.section, place.position, place.node
        if isinstance(node, Log | Opaque):
            return
        if isinstance(node, Branch):
            role, leaves, key = node.role, node.children, None
        else:
            role, leaves = self._role(section, node), (node,)
            key = node.key if isinstance(node, Memory) else None
        parts: list[tuple[_Owner, array[int]]] = [] if place.continues else [((key, None), self._header(role))]
        parts += self._contents(leaves, key, place.response, cut=place.cut)
        if closes:
            scored = None if place.cut else place.response
            parts += [((key, scored), self._end), ((key, None), self._newline)]
        for (memory, response), ids in _merged(parts):
            yield TokenSpan(ids, section, position, node_label(node), memory, response)

    def _contents(
        self, leaves: tuple[Leaf, ...], key: str | None, response: int | None, *, cut: bool
    ) -> Iterator[tuple[_Owner, array[int]]]:
        last = max((number for number, leaf in enumerate(leaves) if leaf_text(leaf)), default=-1)
        for number, leaf in enumerate(leaves):
            owner = (leaf.key, None) if isinstance(leaf, Memory) else (key, response)
            text, end = leaf_text(leaf), ""
            if cut and number == last and isinstance(leaf, Thinking):
                text, end = text.removesuffix(THINKING_END), THINKING_END  # which the model did not reach
            yield owner, id_array(self._tokenizer.encode(text))
            if end:
                yield (key, None), id_array(self._tokenizer.encode(end))

    def _header(self, role: str) -> array[int]:
        if role not in self._headers:
            self._headers[role] = self._start + id_array(self._tokenizer.encode(role + "\n"))
        return self._headers[role]

    def _role(self, section: Section, leaf: Leaf) -> str:
        match leaf:
            case Memory():
                return "memory"
            case Content():
                if section == "conversation":
                    self.notes.append("content outside of turns in the conversation is rendered as system turns")
                return "system"
            case ToolResult():
                return "tool"
            case _:
                self.notes.append(
                    "thinking or a tool call outside of a turn is rendered as an assistant turn and not scored"
                )
                return "assistant"


def _merged(parts: Iterable[tuple[_Owner, array[int]]]) -> Iterator[tuple[_Owner, array[int]]]:
    """Yield (owner, ids) in order; consecutive owners differ."""
    for owner, group in groupby(parts, key=lambda part: part[0]):
        ids = id_array()
        for _, more in group:
            ids += more
        yield owner, ids
