"""Which responses are sent to training or exported. The screen and the commands share this rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from memscope.errors import TrainingError
from memscope.scoring.finetune import Findings
from memscope.scoring.layout import Layout

__all__ = ["Selection", "responses_by_index", "select_responses", "undecided_candidates"]


class Selection(msgspec.Struct, frozen=True):
    """The responses to send or export.

    Attributes:
        responses: Ids.
        approved: Whether they are the responses the user approved.
        again: Whether all of them were, or may have been, sent before.
    """

    responses: tuple[str, ...]
    approved: bool = False
    again: bool = False


def select_responses(
    *, requested: Iterable[str] | None, approved: Iterable[str], fallback: Iterable[str], marked: Collection[str]
) -> Selection:
    """Choose the responses.

    The first non-empty choice wins: `requested`; the approved responses that were not sent; the responses in
    `fallback` that were not sent; all of `fallback`, to be sent again.

    Args:
        requested: Ids the user listed explicitly; None if the user listed none.
        approved: Ids of the approved responses.
        fallback: Ids to fall back to: the selected responses of a list, or all candidates.
        marked: Ids of responses that were, or may have been, sent.
    """
    if requested is not None:
        asked = tuple(requested)
        return Selection(asked, again=bool(asked) and all(response in marked for response in asked))
    if unsent := tuple(response for response in approved if response not in marked):
        return Selection(unsent, approved=True)
    rest = tuple(fallback)
    unsent = tuple(response for response in rest if response not in marked)
    return Selection(unsent or rest, again=bool(rest) and not unsent)


def undecided_candidates(findings: Findings, decided: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the candidates that are neither approved nor rejected."""
    return tuple(found.id for found in findings.candidates if found.id not in decided)


def responses_by_index(layout: Layout, places: Sequence[int]) -> list[str]:
    """Return the ids of the responses with these indices.

    Raises:
        TrainingError: An index is out of range.
    """
    count = len(layout.responses)
    for place in places:
        if not 0 <= place < count:
            raise TrainingError(f"there is no response {place}: the session has {count}")
    return [layout.responses[place] for place in places]
