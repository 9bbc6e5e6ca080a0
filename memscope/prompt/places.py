"""The nodes of one sequence, in the order in which the model reads them."""

from __future__ import annotations

from typing import NamedTuple

from memscope.session.nodes import Node, Section, Session
from memscope.session.text import responses

__all__ = ["Place", "session_places"]


class Place(NamedTuple):
    """A node where it stands in a sequence.

    Attributes:
        section: Its section.
        position: Its position within the section.
        node: The node.
        response: Index of the response that it is, if it is scored in this sequence.
        cut: Whether that response ended early, so that the end of its turn is not scored.
        continues: Whether that response continues the assistant turn before it, which the request had begun.
    """

    section: Section
    position: int
    node: Node
    response: int | None = None
    cut: bool = False
    continues: bool = False


def session_places(session: Session) -> list[Place]:
    """Return the places of an append-only session."""
    indices = {response.entry_index: index for index, response in enumerate(responses(session))}
    return [
        Place(section, position, node, indices.get(position) if section == "conversation" else None)
        for section, position, node in session.prompt_order()
    ]
