"""Alternates: what the model says in a response's place when all memories are left out."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from memscope.engines.base import Sampling, Scorer
from memscope.errors import PromptError, ScorerError
from memscope.prompt.prompt import Prompt
from memscope.store.alternates import Alternates, alternate_key

__all__ = ["generate_alternate"]


async def generate_alternate(
    prompt: Prompt,
    scorer: Scorer,
    store: Alternates,
    response: int,
    sampling: Sampling,
    decode: Callable[[Sequence[int]], str],
) -> AsyncIterator[str]:
    """Yield the alternate of a response as it grows, its whole text each time; a remembered one comes at once.

    Args:
        prompt: The tokenised session.
        scorer: What generates.
        store: Where complete alternates are kept; one that is cut off, or drawn while the weights changed, is not.
        response: The response's index in the prompt.
        sampling: How to draw; the same seed draws the same.
        decode: Turns ids into text.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The context leaves no room to answer.
    """
    context = prompt.context_ids(response, {memory.key for memory in prompt.memories})
    stop = prompt.continuation_ids(response)[-1]
    limit = scorer.info.max_tokens
    if limit is not None:
        if len(context) >= limit:
            raise PromptError(f"response {response}: its context fills all {limit} tokens of the model")
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, limit - len(context)))
    info = scorer.info
    key = alternate_key(info.identity, context, sampling)
    if (known := await store.get(key)) is not None:
        yield decode(known)
        return
    ids: array[int] = array("I")
    async for chunk in scorer.generate(context, sampling, (stop,)):
        ids.extend(chunk)
        yield decode(ids)
    with suppress(ScorerError):  # whether it is still the same function is not known then
        if (await scorer.refresh()).identity == info.identity:
            await store.put(key, ids)
    yield decode(ids)
