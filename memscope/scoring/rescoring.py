"""Scoring variants of a prompt, reusing stored scores so that each range is computed at most once."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Sequence

import msgspec

from memscope.engines.base import Range, Scorer, ScorerInfo
from memscope.errors import PromptError, ScorerError
from memscope.prompt.prompt import Prompt
from memscope.prompt.sequence import Variant
from memscope.scoring.layout import Layout
from memscope.scoring.table import NOTHING_LEFT_OUT, Ablation, AblationTable
from memscope.store.scores import Score, ScoreStore, score_keys

__all__ = [
    "AblationScorer",
    "Cost",
    "Rescorer",
    "ResponseScore",
    "WeightsChangedError",
    "check_fits",
]


class WeightsChangedError(ScorerError):
    """The weights changed while scoring, so that scores from before and after must not be mixed."""


class Cost(msgspec.Struct):
    """The cost of one job.

    Attributes:
        calls: Requests sent.
        tokens_naive: Total tokens of all sequences, as if each were forwarded in full.
        tokens_forwarded: Tokens that the scorer reports as forwarded through the model.
    """

    calls: int = 0
    tokens_naive: int = 0
    tokens_forwarded: int = 0


class ResponseScore(msgspec.Struct, frozen=True):
    """Log-probability of one response under one variant: in nats, the sum and each token's (float32).

    `tokens` is empty if the scorer returns only sums. `cached`: it came from the store.
    """

    total: float
    tokens: array[float]
    cached: bool


class Rescorer:
    """A scorer with a store of earlier scores."""

    def __init__(self, scorer: Scorer, store: ScoreStore) -> None:
        self.scorer = scorer
        self._store = store

    @property
    def weights(self) -> str:
        """The fingerprint of the weights in use."""
        return self.scorer.info.weights

    def check_weights(self, weights: str) -> None:
        """Check that these weights are still in use, since scores of different weights must not be mixed.

        Raises:
            WeightsChangedError: Other weights are in use now.
        """
        if self.weights != weights:
            raise WeightsChangedError("the scorer's weights changed while it was scoring: score again")

    async def score(
        self, variants: Sequence[Variant], cost: Cost, *, fresh: bool = False, second_path: bool = False
    ) -> dict[int, ResponseScore]:
        """Score every range of every variant and return the sums by the response's index in the prompt.

        Args:
            variants: The sequences; a response may own several ranges of one of them.
            cost: Updated with the cost of the requests.
            fresh: Score again even if a score is stored, and store the new one.
            second_path: Compute the same numbers along another computation path, to measure the noise floor.

        Raises:
            ScorerError: The scorer failed; scores obtained before that are stored.
        """
        sums: dict[int, ResponseScore] = {}
        for variant in variants:
            scores, cached = await self._variant(variant, cost, fresh, second_path)
            for owner, (total, tokens) in zip(variant.owners, scores, strict=True):
                before = sums.get(owner)
                sums[owner] = ResponseScore(
                    total=total + (before.total if before else 0.0),
                    tokens=(before.tokens if before else array("f")) + tokens,
                    cached=cached and (before is None or before.cached),
                )
        return sums

    async def _variant(self, variant: Variant, cost: Cost, fresh: bool, second_path: bool) -> tuple[list[Score], bool]:
        cost.tokens_naive += len(variant.ids)
        info = self.scorer.info  # of this request: it may be another when the answer comes
        keys, known = await asyncio.to_thread(self._look_up, info, variant, fresh, second_path)
        missing = [n for n, key in enumerate(keys) if key not in known]
        if missing:
            ranges = [variant.ranges[n] for n in missing]
            asked = await self._asked(info, variant.ids[: ranges[-1][1]], ranges, cost, second_path)
            new = dict(zip((keys[n] for n in missing), asked, strict=True))
            await asyncio.to_thread(self._store.put, new)
            known |= new
        return [known[key] for key in keys], not missing

    def _look_up(
        self, info: ScorerInfo, variant: Variant, fresh: bool, second_path: bool
    ) -> tuple[list[bytes], dict[bytes, Score]]:
        path = "second path" if second_path else ""
        keys = score_keys(f"{info.identity}\0{path}", variant.ids, variant.ranges)
        return keys, {} if fresh else self._store.get(keys)

    async def _asked(
        self, info: ScorerInfo, ids: array[int], ranges: Sequence[Range], cost: Cost, second_path: bool
    ) -> list[Score]:
        cost.calls += 1
        scored = await self.scorer.score(ids, ranges, second_path=second_path)
        cost.tokens_forwarded += scored.forwarded
        self.check_weights(scored.weights or info.weights)
        self.check_weights(info.weights)
        return list(zip(scored.totals, scored.tokens, strict=True))


class AblationScorer:
    """Scores ablations of one prompt into a table, with one set of weights.

    Attributes:
        prompt: The tokenised session.
        layout: The prompt's rows and columns.
        table: The table to fill.
        rescorer: Scores the sequences.
        cost: The cost so far.
    """

    def __init__(
        self, prompt: Prompt, layout: Layout, table: AblationTable, rescorer: Rescorer, cost: Cost | None = None
    ) -> None:
        self.prompt, self.layout, self.table, self.rescorer = prompt, layout, table, rescorer
        self.cost = Cost() if cost is None else cost
        self._weights, self._revision = rescorer.weights, table.revision

    def expect_same_weights(self) -> None:
        """Check that the weights in use are still those of the table.

        Raises:
            WeightsChangedError: Other weights are in use now.
        """
        self.rescorer.check_weights(self._weights)

    def variants(self, ablation: Ablation, responses: Iterable[str] | None = None) -> list[Variant]:
        """Return the sequences to score an ablation of some responses; None for all responses."""
        places = None if responses is None else self.layout.positions(responses)
        return self.prompt.variants(ablation.removed(self.layout.keys), responses=places)

    def fitting(self, responses: Iterable[str]) -> list[str]:
        """Return those of some responses that the model accepts with all that is before them.

        Where all share one sequence, or none is accepted, all are returned: `check_fits` raises an error for them.
        """
        wanted, limit = list(responses), self.rescorer.scorer.info.max_tokens
        if limit is None or len(self.prompt.sequences) == 1:
            return wanted
        variants = self.variants(NOTHING_LEFT_OUT, wanted)
        ends = (pair for one in variants for pair in zip(one.ranges, one.owners, strict=True))
        beyond = {self.layout.responses[owner] for (_, end), owner in ends if end > limit}
        return [id_ for id_ in wanted if id_ not in beyond] or wanted

    async def fill(self, ablation: Ablation, responses: Iterable[str] | None = None, *, fresh: bool = False) -> bool:
        """Score the missing values of an ablation and put them into the table, unless they are outdated by then.

        Args:
            ablation: The memories to leave out.
            responses: Response ids; None for all.
            fresh: Score again even if a score is known or stored.

        Returns:
            Whether all scores came from the store.

        Raises:
            ScorerError: The scorer failed.
            WeightsChangedError: Other weights are in use by now; nothing was put into the table.
        """
        wanted = list(self.layout.responses if responses is None else responses)
        asked = wanted if fresh else self.table.missing(ablation, wanted)
        if not asked:
            return True
        scores = await self.rescorer.score(self.variants(ablation, asked), self.cost, fresh=fresh)
        self.expect_same_weights()
        columns = self.layout.columns
        totals = {columns[index].id: score.total for index, score in scores.items()}
        self.table.put(ablation, totals, self._revision)
        return all(score.cached for score in scores.values())


def check_fits(prompt: Prompt, rescorer: Rescorer, variants: Sequence[Variant]) -> None:
    """Check that the model can score these sequences of a prompt.

    Raises:
        PromptError: One is too long, or the prompt has ids outside the model's vocabulary.
    """
    info = rescorer.scorer.info
    longest = max((len(variant.ids) for variant in variants), default=0)
    if info.max_tokens is not None and longest > info.max_tokens:
        where = prompt.overflow(info.max_tokens) or f"{longest:,} tokens, the model accepts {info.max_tokens:,}"
        raise PromptError(f"the session is too long for {info.model}: {where}")
    if info.vocab_size is not None and prompt.largest_id >= info.vocab_size:
        raise PromptError(
            f"the tokenizer does not match {info.model}: it produced id {prompt.largest_id}, the vocabulary has "
            f"{info.vocab_size} ids; set the right one with --tokenizer"
        )
