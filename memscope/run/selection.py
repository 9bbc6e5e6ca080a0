"""Which responses are sent to training or exported: the one rule, for the screen and for the commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from memscope.errors import TrainingError
from memscope.scoring.finetune import Findings
from memscope.scoring.layout import Layout

__all__ = ["Selection", "responses_by_index", "select_responses", "undecided_candidates"]


class Selection(msgspec.Struct, frozen=True):
    """What a send or an export is about.

    Attributes:
        responses: Ids.
        approved: They were approved by the user, and not named or found now.
        again: All of them were sent before, or may have been.
    """

    responses: tuple[str, ...]
    approved: bool = False
    again: bool = False


def select_responses(
    *, named: Iterable[str] | None, approved: Iterable[str], otherwise: Iterable[str], marked: Collection[str]
) -> Selection:
    """Choose the responses.

    Those that are named, whatever happened to them; else the approved ones that were not sent; else of `otherwise`
    those that were not sent; else all of `otherwise`, to be sent again.

    Args:
        named: Ids the user named; None when none was asked for by name.
        approved: Ids of the approved responses.
        otherwise: Ids to fall back to: the cursor or the marked lines of a list, or all candidates.
        marked: Ids of responses that were sent, or may have been.
    """
    if named is not None:
        asked = tuple(named)
        return Selection(asked, again=bool(asked) and all(response in marked for response in asked))
    if unsent := tuple(response for response in approved if response not in marked):
        return Selection(unsent, approved=True)
    rest = tuple(otherwise)
    unsent = tuple(response for response in rest if response not in marked)
    return Selection(unsent or rest, again=bool(rest) and not unsent)


def undecided_candidates(findings: Findings, decided: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the candidates about which nothing was decided."""
    return tuple(found.id for found in findings.candidates if found.id not in decided)


def responses_by_index(layout: Layout, places: Sequence[int]) -> list[str]:
    """Return the ids of responses that users name by number.

    Raises:
        TrainingError: There is no response of a number.
    """
    count = len(layout.responses)
    for place in places:
        if not 0 <= place < count:
            raise TrainingError(f"there is no response {place}: the session has {count}")
    return [layout.responses[place] for place in places]
