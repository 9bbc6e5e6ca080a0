"""Raw completions as token ids: the ids that were sent, or the text with its control tokens, without a template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memscope.prompt.places import Place
from memscope.prompt.responses import node_label
from memscope.prompt.sequence import TokenSequence, TokenSpan, id_array
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Leaf, Memory
from memscope.session.text import leaf_text

__all__ = ["render_raw"]


def render_raw(places: Iterable[Place], tokenizer: Tokenizer) -> TokenSequence:
    """Return the sequence of a completion.

    A prompt of text begins with the beginning-of-text token where the tokenizer adds one, as servers do. Text is cut
    only where a memory begins or ends. The first token has nothing before it: it is not scored, and stays when the
    memory that it would belong to is left out.
    """
    spans: list[TokenSpan] = []
    for place in places:
        for leaf in _leaves(place):
            memory = leaf.key if isinstance(leaf, Memory) else None
            ids = _ids(leaf, tokenizer, first=not spans)
            label = node_label(place.node)
            if not spans and ids:
                spans.append(TokenSpan(id_array(ids[:1]), place.section, place.position, label))
                ids = ids[1:]
            if ids:
                spans.append(TokenSpan(id_array(ids), place.section, place.position, label, memory, place.response))
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
