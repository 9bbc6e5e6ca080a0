"""OpenAI's Completions API: a raw prompt, as text or as token ids, and its continuation.

The prompt is one message of role `prompt`, the response one of role `completion`. Where a server returns the
response's token ids (`return_token_ids`), they are kept, so that exactly these ids are scored. A prompt that was sent
as text stays text, in which memories can be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memscope.session.apis import parts
from memscope.session.apis.base import CallReply, CallRequest, Message, status_of, usage_of
from memscope.session.apis.parts import as_dict, as_list, as_text
from memscope.session.formats.fields import field_error

__all__ = ["NAME", "reply", "request", "streamed"]

NAME = "openai-completions"


def request(body: Mapping[str, Any], where: str) -> CallRequest:
    """Read the body of a request; of several prompts, the first one.

    Args:
        body: The decoded body.
        where: The place of the body, for errors.

    Raises:
        SessionError: The prompt is neither text nor token ids.
    """
    prompt, count = _first_prompt(body.get("prompt"), where)
    choices = body.get("n")
    return CallRequest(
        messages=[_message("prompt", *prompt)],
        model=as_text(body.get("model")),
        choices=count * (choices if type(choices) is int else 1),
        missing="the suffix of the completion" if body.get("suffix") else "",
    )


def reply(body: Mapping[str, Any]) -> CallReply:
    """Read the body of a response that was not streamed.

    Args:
        body: The decoded body.
    """
    choice = _first_choice(body)
    return _reply(body, choice, ended=bool(choice))


def streamed(events: Sequence[Mapping[str, Any]]) -> CallReply:
    """Read the events of a streamed response.

    Args:
        events: The decoded data of each event, in order.
    """
    head: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for event in events:
        head |= {name: value for name, value in event.items() if name in ("id", "model", "usage") and value}
        choice = _first_choice(event)
        whole["text"] = whole.get("text", "") + as_text(choice.get("text"))
        whole["token_ids"] = [*whole.get("token_ids", ()), *as_list(choice.get("token_ids"))]
        whole["finish_reason"] = choice.get("finish_reason") or whole.get("finish_reason")
    return _reply(head, whole, ended=bool(whole.get("finish_reason")))


def _first_prompt(prompt: Any, where: str) -> tuple[tuple[str, list[int] | None], int]:
    """Return the first prompt as (text, ids or None), and how many there are."""
    if isinstance(prompt, str):
        return (prompt, None), 1
    if _are_ids(prompt):
        return ("", prompt), 1
    if isinstance(prompt, list) and prompt and (isinstance(prompt[0], str) or _are_ids(prompt[0])):
        return _first_prompt(prompt[0], where)[0], len(prompt)
    raise field_error(where, "prompt", "a text or a list of token ids", prompt)


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int and one >= 0 for one in value)


def _message(role: str, said: str, ids: list[int] | None) -> Message:
    if ids:
        return {"role": role, "content": [{"type": "tokens", "ids": ids, **({"text": said} if said else {})}]}
    return {"role": role, "content": [parts.text(said)] if said else []}


def _first_choice(body: Mapping[str, Any]) -> dict[str, Any]:
    for choice in map(as_dict, as_list(body.get("choices"))):
        if choice.get("index", 0) == 0:
            return choice
    return {}


def _reply(head: Mapping[str, Any], choice: Mapping[str, Any], *, ended: bool) -> CallReply:
    ids = choice.get("token_ids")
    answer = _message("completion", as_text(choice.get("text")), ids if _are_ids(ids) else None) if choice else None
    stop = as_text(choice.get("finish_reason"))
    status = status_of(answer, stop, ended=ended)
    return CallReply(
        message=None if status == "failed" else answer,
        model=as_text(head.get("model")),
        status=status,
        usage=usage_of(head.get("usage"), ["prompt_tokens"], "completion_tokens"),
        id=as_text(head.get("id")),
        stop=stop,
    )
