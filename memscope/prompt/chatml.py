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
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeAlias

from memscope.errors import PromptError
from memscope.prompt.prompt import Prompt
from memscope.prompt.responses import node_label, responses_of, with_token_counts
from memscope.prompt.sequence import TokenSequence, TokenSpan, id_array
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Leaf, Log, Memory, Node, Section, Session, ToolResult
from memscope.session.text import leaf_text

__all__ = ["render_chatml"]


def render_chatml(session: Session, tokenizer: Tokenizer, notes: Iterable[str] = ()) -> Prompt:
    """Render a session as ChatML.

    Args:
        session: The session.
        tokenizer: A tokenizer with ChatML's turn markers.
        notes: Notes to prepend to those of the rendering.

    Raises:
        PromptError: The tokenizer has no ChatML turn markers.
    """
    responses = responses_of(session)
    writer = _Writer(tokenizer, {response.entry_index: response.index for response in responses})
    one = TokenSequence(span for place in session.prompt_order() for span in writer.node(*place))
    return Prompt(session, [one], with_token_counts(responses, [one]), [*notes, *writer.notes], template="chatml")


_Owner: TypeAlias = tuple[str | None, int | None]
"""The memory that ids belong to, and the response that they are scored for."""


class _Writer:
    """Converts nodes to spans."""

    def __init__(self, tokenizer: Tokenizer, responses: dict[int, int]) -> None:
        start, end = tokenizer.token_id("<|im_start|>"), tokenizer.token_id("<|im_end|>")
        if start is None or end is None:
            raise PromptError("the tokenizer has no <|im_start|> and <|im_end|>, which ChatML requires")
        self._tokenizer = tokenizer
        self._start, self._end = id_array([start]), id_array([end])
        self._newline = id_array(tokenizer.encode("\n"))
        self._responses = responses
        self._headers: dict[str, array[int]] = {}
        self.notes: list[str] = []

    def node(self, section: Section, position: int, node: Node) -> Iterator[TokenSpan]:
        """Yield the spans of a top-level node."""
        if isinstance(node, Log):
            return
        if isinstance(node, Branch):
            role, leaves, key = node.role, node.children, None
        else:
            role, leaves = self._role(section, node), (node,)
            key = node.key if isinstance(node, Memory) else None
        response = self._responses.get(position) if section == "conversation" else None
        for (memory, scored), ids in self._turn(role, leaves, key, response):
            yield TokenSpan(ids, section, position, node_label(node), memory, scored)

    def _turn(
        self, role: str, leaves: tuple[Leaf, ...], key: str | None, response: int | None
    ) -> Iterator[tuple[_Owner, array[int]]]:
        """Yield (owner, ids) in order; consecutive owners differ."""
        parts: list[tuple[_Owner, array[int]]] = [((key, None), self._header(role))]
        for leaf in leaves:
            owner = (leaf.key, None) if isinstance(leaf, Memory) else (key, response)
            parts.append((owner, id_array(self._tokenizer.encode(leaf_text(leaf)))))
        parts += [((key, response), self._end), ((key, None), self._newline)]
        for owner, group in groupby(parts, key=lambda part: part[0]):
            ids = id_array()
            for _, more in group:
                ids += more
            yield owner, ids

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
