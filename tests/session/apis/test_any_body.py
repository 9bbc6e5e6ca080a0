"""Whatever a body holds, reading it gives canonical messages or one error: a recorder reads what others wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import SessionError
from memscope.session.apis import anthropic_messages, openai_chat, openai_completions, openai_responses
from memscope.session.apis.base import Message
from memscope.session.detectors import Detector
from memscope.session.formats.builder import SessionBuilder
from tests.session.strategies import QUICK

MODULES: tuple[Any, ...] = (openai_chat, openai_completions, openai_responses, anthropic_messages)
NAMES = """
    type role content text messages input output system instructions prompt tools model tool_calls function
    function_call functions custom arguments name id index delta choices message finish_reason stop_reason usage
    memory key refusal reasoning_content thinking audio token_ids response item output_index content_index
    summary content_block status partial_json incomplete_details reason prompt_tokens input_schema parameters n
    call_id encrypted_content previous_response_id description
""".split()
WORDS = (
    "text", "input_text", "output_text", "refusal", "thinking", "tool_use", "tool_result", "image", "user", "assistant",
    "tool", "system", "function", "message", "reasoning", "function_call", "function_call_output", "custom_tool_call",
    "message_start", "message_delta", "content_block_start", "content_block_delta", "text_delta", "input_json_delta",
    "thinking_delta", "response.completed", "response.output_item.added", "response.output_item.done",
    "response.output_text.delta", "response.function_call_arguments.delta", "completed", "stop", "length", "{}", "",
    "\ud800",
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.just(0.5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)


def check(messages: list[Message]) -> None:
    """Check that messages are canonical: a session can be built of them."""
    builder = SessionBuilder("a file", "recording", Detector([]))
    for message in messages:
        builder.message(message, "a file:1")


@QUICK
@given(st.sampled_from(MODULES), BODIES)
def test_any_request_is_messages_or_one_error(module: Any, body: Any) -> None:
    try:
        request = module.request(body, "a body")
    except SessionError as error:
        assert str(error).startswith("a body: field ")
    else:
        check(request.messages)


@QUICK
@given(st.sampled_from(MODULES), BODIES, st.lists(BODIES, max_size=4))
def test_any_reply_is_a_message_or_a_failed_call(module: Any, body: Any, events: list[Any]) -> None:
    for reply in (module.reply(body), module.streamed(events)):
        assert (reply.message is None) == (reply.status == "failed")
        check([reply.message] if reply.message else [])
        assert all(isinstance(value, str) for value in (reply.model, reply.id, reply.stop))


@pytest.mark.parametrize("module", MODULES)
def test_no_body_is_deep_enough_to_break_a_reader(module: Any) -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    names = ("messages", "input", "prompt", "choices", "output", "content", "usage", "tools")
    module.reply(dict.fromkeys(names, deep))
    module.streamed([dict.fromkeys(names, deep)])
