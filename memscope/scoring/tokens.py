"""One cell token by token: which tokens of a response a memory affects."""

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
        texts: The text of each token; joined they are the response.
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
    """Return one cell token by token, scoring it if needed.

    Args:
        scorer: Scores the sequences.
        token_texts: Returns the text of each id.
        measure: The measure.
        key: The memory's key.
        response: The response's id.

    Raises:
        ScorerError: The scorer failed.
        WeightsChangedError: The weights changed between the two requests.
        MemscopeError: The scorer returns no token values.
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
        raise MemscopeError(f"the scorer returns no token-level values ({rescorer.scorer.info.dialect})")
    return CellTokens(tuple(texts), values[0], values[1])
