"""Find the responses that depend on memories by leaving out all memories at once, and choose candidates for training.

The strip-all divergence of a response r is f(A, r) - f(none, r), in signed nats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import inf, isnan
from typing import Literal, TypeAlias

import msgspec

from memscope.scoring.layout import Column, Layout
from memscope.scoring.rescoring import AblationScorer, check_fits
from memscope.scoring.table import ALL_LEFT_OUT, NOTHING_LEFT_OUT
from memscope.terminal.counts import counted

__all__ = [
    "Candidate",
    "Context",
    "Findings",
    "find_candidates",
    "recent_responses",
    "strip_all",
    "strip_all_within",
]

Context: TypeAlias = Literal["full", "window"]


class Candidate(msgspec.Struct, frozen=True):
    """A response that depends on memories and has not been trained.

    Attributes:
        id: Its identity.
        index: Its position among the responses, as shown to users.
        entry_index: Its position among the conversation's nodes.
        divergence: Strip-all divergence, signed nats.
        timestamp: Its RFC 3339 timestamp from the session file.
        text: Its text.
    """

    id: str
    index: int
    entry_index: int
    divergence: float
    timestamp: str
    text: str


class Findings(msgspec.Struct, frozen=True):
    """The result of a search for candidates.

    Attributes:
        candidates: Candidates by descending divergence.
        responses_seen: How many responses were scored.
        max_divergence: The largest strip-all divergence among them, signed nats; None if none was scored.
        threshold: Minimum divergence of a candidate, in nats.
        without_timestamp: How many responses at or above the threshold have no timestamp.
        trained: How many responses at or above the threshold were, or may have been, trained.
    """

    candidates: tuple[Candidate, ...]
    responses_seen: int
    max_divergence: float | None
    threshold: float
    without_timestamp: int
    trained: int

    @property
    def why_none(self) -> str | None:
        """The reason why there is no candidate, on one line; None if there is one."""
        if self.candidates:
            return None
        if self.max_divergence is None:
            return "no candidate: no response was scored"
        line = (
            f"no candidate: {counted(self.responses_seen, 'response')} seen, "
            f"maximum divergence {self.max_divergence:.2f} nats, threshold {self.threshold:g}"
        )
        left_out = [f"{self.trained} already trained"] * bool(self.trained)
        left_out += [f"{self.without_timestamp} without the timestamp that a candidate needs"] * bool(
            self.without_timestamp
        )
        return f"{line} ({', '.join(left_out)})" if left_out else line


def recent_responses(layout: Layout, entries: int, count: int | None) -> tuple[list[str], range | None]:
    """Return the ids of the responses among the most recent conversation nodes, and the nodes' positions.

    Args:
        layout: The layout of the session.
        entries: Number of nodes in the conversation.
        count: Number of most recent nodes; None for all.
    """
    if count is None or count >= entries:
        return list(layout.responses), None
    window = range(entries - count, entries)
    return [column.id for column in layout.columns if column.entry_index in window], window


async def strip_all(scorer: AblationScorer, responses: Collection[str], *, fresh: bool = False) -> dict[str, float]:
    """Return the strip-all divergence of each response by id, in signed nats, with everything before it as context.

    Responses whose text or context changed because the session was replaced meanwhile are omitted, and so are calls
    that are too long for the model if others are not.

    Args:
        scorer: Scores ablations into the table.
        responses: Response ids.
        fresh: Score again even if a score is known or stored.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The model cannot score this prompt.
    """
    responses = scorer.fitting(responses)
    check_fits(scorer.prompt, scorer.rescorer, scorer.variants(NOTHING_LEFT_OUT, responses))
    for ablation in (NOTHING_LEFT_OUT, ALL_LEFT_OUT):
        await scorer.fill(ablation, responses, fresh=fresh)
    table = scorer.table
    divergences = {id_: table.get(NOTHING_LEFT_OUT, id_) - table.get(ALL_LEFT_OUT, id_) for id_ in responses}
    return {id_: nats for id_, nats in divergences.items() if not isnan(nats)}


async def strip_all_within(
    scorer: AblationScorer, responses: Collection[str], window: range, *, fresh: bool = False
) -> dict[str, float]:
    """Return the strip-all divergence of each response with only a window of the conversation as context.

    This differs from what `strip_all` measures, so the table does not hold it.

    Args:
        scorer: Scores the sequences.
        responses: Response ids.
        window: Positions of the conversation nodes to keep.
        fresh: Score again even if a score is stored.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The model cannot score this prompt.
    """
    prompt, rescorer, columns = scorer.prompt, scorer.rescorer, scorer.layout.columns
    places = scorer.layout.positions(responses)
    everything = prompt.variants((), responses=places, entries=window)
    bare = prompt.variants(scorer.layout.keys, responses=places, entries=window)
    check_fits(prompt, rescorer, everything)
    full = await rescorer.score(everything, scorer.cost, fresh=fresh)
    less = await rescorer.score(bare, scorer.cost, fresh=fresh)
    return {columns[place].id: full[place].total - less[place].total for place in places}


def find_candidates(
    divergences: Mapping[str, float], columns: Iterable[Column], marked: Collection[str], threshold: float
) -> Findings:
    """Choose the candidates among the scored responses.

    Args:
        divergences: Strip-all divergences by response id, in signed nats.
        columns: All responses.
        marked: Ids of responses that were, or may have been, trained.
        threshold: Minimum divergence in nats, inclusive.
    """
    above = [column for column in columns if divergences.get(column.id, -inf) >= threshold]
    above.sort(key=lambda column: (-divergences[column.id], column.index))
    free = [column for column in above if column.id not in marked]
    return Findings(
        candidates=tuple(_candidate(column, divergences[column.id]) for column in free if column.timestamp),
        responses_seen=len(divergences),
        max_divergence=max(divergences.values(), default=None),
        threshold=threshold,
        without_timestamp=sum(not column.timestamp for column in free),
        trained=len(above) - len(free),
    )


def _candidate(column: Column, divergence: float) -> Candidate:
    return Candidate(column.id, column.index, column.entry_index, divergence, column.timestamp or "", column.text)
