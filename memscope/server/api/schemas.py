"""Request bodies and their validation. Unknown fields are ignored, as by other servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from memscope.server.errors import ApiError, bad_request

__all__ = [
    "CompletionRequest",
    "ScoringRequest",
    "StreamOptions",
    "check_ids",
    "check_model",
    "check_ranges",
    "decode",
]

S = TypeVar("S", bound=msgspec.Struct)

Probability = Annotated[float, Meta(gt=0, le=1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class ScoringRequest(msgspec.Struct, kw_only=True):
    """`POST /v1/score`. `score_ranges` are [start, end) token positions in `prompt`.

    With `alternate_path` the same numbers are computed along another path with different rounding (other chunks,
    attention and matrix products) and without reuse of prefixes; the difference shows the size of rounding errors.
    """

    prompt: list[int]
    model: str | None = None
    score_ranges: list[tuple[int, int]] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=1)] = 0
    priority: int = 0
    alternate_path: bool = False


class StreamOptions(msgspec.Struct):
    """What a stream includes besides tokens."""

    include_usage: bool = False


class CompletionRequest(msgspec.Struct, kw_only=True):
    """`POST /v1/completions`: the supported subset of vLLM's request."""

    prompt: str | list[int | list[int] | str]
    model: str | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = 16
    temperature: Annotated[float, Meta(ge=0)] | None = 1.0
    top_p: Probability | None = 1.0
    top_k: int | None = 0
    seed: Seed | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    prompt_logprobs: Annotated[int, Meta(ge=0, le=1)] | None = None
    priority: int = 0
    n: int | None = 1
    echo: bool | None = False
    stop: str | list[str] | None = None

    def check(self) -> None:
        """Reject fields that must not be silently ignored.

        Raises:
            ApiError: A field requests an unsupported feature (400).
        """
        if self.n not in (None, 1):
            raise bad_request("n must be 1 on this server", "n")
        if self.echo:
            raise bad_request("echo is not supported on this server; use prompt_logprobs or /v1/score", "echo")
        if self.stop:
            raise bad_request("stop is not supported on this server; texts end at the model's own end tokens", "stop")
        if self.stream and self.prompt_logprobs is not None:
            raise bad_request("prompt_logprobs are not available when stream is true", "prompt_logprobs")


def decode(body: bytes, kind: type[S]) -> S:
    """Decode a request body.

    Raises:
        ApiError: It is not JSON, or a field has the wrong type; the message names the field (400).
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise bad_request(f"{field}: {message}" if field else message, _first_name(field) or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None


def _first_name(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def check_model(asked: str | None, served: str) -> None:
    """Reject a model name that is not the served one (404); None is accepted."""
    if asked is not None and asked != served:
        raise ApiError(404, f"the model `{asked}` does not exist here; this server has `{served}`", "model")


def check_ids(ids: Sequence[int], vocabulary: int, max_tokens: int | None, *, room: int = 0) -> None:
    """Reject a prompt that is empty, too long, or has an id outside the vocabulary (400).

    Args:
        ids: The prompt.
        vocabulary: Ids must be below this.
        max_tokens: Maximum context length; None for no limit.
        room: Number of tokens that must fit after the prompt.
    """
    if not ids:
        raise bad_request("the prompt is empty", "prompt")
    if max_tokens is not None and len(ids) + room > max_tokens:
        raise bad_request(
            f"this model's maximum context length is {max_tokens} tokens, and the prompt has {len(ids)} input tokens"
            + (f" with room for {room} more needed" if room else ""),
            "input_tokens",
        )
    low, high = min(ids), max(ids)
    if low < 0 or high >= vocabulary:
        wrong = low if low < 0 else high
        raise bad_request(
            f"token id {wrong} is outside the vocabulary (0 to {vocabulary - 1}), at position {ids.index(wrong)}",
            "prompt",
        )


def check_ranges(ranges: Sequence[tuple[int, int]], length: int) -> None:
    """Reject a range that is empty, exceeds the prompt, or begins at 0, where no token precedes (400)."""
    for number, (start, end) in enumerate(ranges):
        if start == 0:
            raise bad_request(
                f"score_ranges[{number}] = [0, {end}): the first token has nothing before it and cannot be scored",
                "score_ranges",
            )
        if not 0 < start < end <= length:
            raise bad_request(
                f"score_ranges[{number}] = [{start}, {end}): needs 1 <= start < end <= {length}, the prompt's length",
                "score_ranges",
            )
