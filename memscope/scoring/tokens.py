"""One cell token by token: where in a response a memory makes the difference."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import msgspec

from memscope.errors import MemscopeError
from memscope.scoring.grid import Measure, baseline_ablation, row_ablation
from memscope.scoring.rescoring import AblationScorer

__all__ = ["CellTokens", "cell_tokens"]


class CellTokens(msgspec.Struct, frozen=True):
    """One response token by token, with and without a memory.

    Attributes:
        texts: One text a token; joined they are the response.
        with_memory: Log-probability of each token in nats, everything present.
        without_memory: The same with the memory left out.
    """

    texts: tuple[str, ...]
    with_memory: tuple[float, ...]
    without_memory: tuple[float, ...]


async def cell_tokens(
    scorer: AblationScorer,
    token_texts: Callable[[array[int]], Sequence[str]],
    measure: Measure,
    key: str,
    response: str,
) -> CellTokens:
    """Return one cell token by token; scores what is not remembered.

    Args:
        scorer: Where scores come from.
        token_texts: Turns ids into one text each.
        measure: Which grid.
        key: The memory.
        response: The response's id.

    Raises:
        ScorerError: The scorer failed.
        WeightsChangedError: Other weights answered the second request.
        MemscopeError: The scorer gives no token values.
    """
    rescorer = scorer.rescorer
    (place,) = scorer.layout.positions([response])
    base, less = baseline_ablation(measure), row_ablation(measure, key)
    values, weights = [], rescorer.weights
    for ablation in (base, less) if measure == "necessity" else (less, base):
        scores = await rescorer.score(scorer.variants(ablation, [response]), scorer.cost)
        values.append(tuple(scores[place].tokens))
    rescorer.check_weights(weights)
    texts = token_texts(scorer.prompt.continuation_ids(place))
    if len(texts) != len(values[0]):
        raise MemscopeError(f"the scorer gives no values for single tokens ({rescorer.scorer.info.dialect})")
    return CellTokens(tuple(texts), values[0], values[1])
