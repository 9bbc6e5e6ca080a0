"""Alternates: what the model replies in place of a response when all memories are left out."""

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
    """Stream the alternate of a response, yielding the whole text so far each time; a stored one is yielded at once.

    Args:
        prompt: The tokenised session.
        scorer: The scorer that generates.
        store: Stores complete alternates; interrupted ones, or ones generated while weights changed, are not stored.
        response: Index of the response in the prompt.
        sampling: Sampling parameters, including the seed.
        decode: Decodes ids to text.

    Raises:
        ScorerError: The scorer failed.
        PromptError: The context leaves no room for a reply.
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
    with suppress(ScorerError):  # then it is unknown whether the weights are the same
        if (await scorer.refresh()).identity == info.identity:
            await store.put(key, ids)
    yield decode(ids)
