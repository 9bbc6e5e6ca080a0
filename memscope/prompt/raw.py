"""Raw completions as token ids: the ids that were sent, or the text with its control tokens, without a template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from memscope.prompt.places import Place
from memscope.prompt.responses import node_label
from memscope.prompt.sequence import TokenSequence, TokenSpan, id_array
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Leaf, Memory
from memscope.session.text import leaf_text

__all__ = ["render_raw"]


def render_raw(places: Sequence[Place], tokenizer: Tokenizer) -> TokenSequence:
    """Return the sequence of a completion.

    A prompt of text begins with the beginning-of-text token where the tokenizer adds one, as servers do. Text is cut
    only where a memory begins or ends. The first token has nothing before it: it is not scored, and stays when the
    memory that it would belong to is left out. A window of the conversation keeps the whole text before a response.
    """
    spans: list[TokenSpan] = []
    last = max((place.position for place in places), default=-1)
    for place in places:
        for leaf in _leaves(place):
            memory = leaf.key if isinstance(leaf, Memory) else None
            ids = _ids(leaf, tokenizer, first=not spans)
            unowned = TokenSpan(id_array(ids[:1]), place.section, place.position, node_label(place.node), last=last)
            if not spans and ids:
                spans.append(unowned)
                ids = ids[1:]
            if ids:
                spans.append(replace(unowned, ids=id_array(ids), memory=memory, response=place.response))
    return TokenSequence(spans)


def _leaves(place: Place) -> Iterator[Leaf]:
    node = place.node
    yield from node.children if isinstance(node, Branch) else (node,)


def _ids(leaf: Leaf, tokenizer: Tokenizer, *, first: bool) -> list[int]:
    if isinstance(leaf, Content) and leaf.token_ids is not None:
        return list(leaf.token_ids)
    text = leaf_text(leaf)
    if first:
        return tokenizer.parse_beginning(text)
    return tokenizer.without_prefix_space.parse(text)[0] if text else []
