"""The protocols for requesting log-probabilities, one module per dialect.

To add one, write a module with a subclass of `Dialect` and list it in `DIALECTS`.
"""

from __future__ import annotations

from memscope.engines.dialects.base import Check, Dialect, ServedModel
from memscope.engines.dialects.prompt_logprobs import PromptLogprobs
from memscope.engines.dialects.score_endpoint import ScoreEndpoint

__all__ = ["DIALECTS", "Check", "Dialect", "ServedModel"]

DIALECTS: tuple[type[Dialect], ...] = (
    ScoreEndpoint,
    PromptLogprobs,
)
"""The dialects in the order in which they are tried, cheapest for the server first."""
