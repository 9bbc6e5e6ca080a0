"""Sequences of calls: raw completions, tools, growth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memscope.demo import model_folder
from memscope.prompt.rendering import SessionRenderer, render
from memscope.prompt.sequence import TokenSequence
from memscope.prompt.tokenizer import Tokenizer
from tests.call_sessions import Exchange, call_session, growing_session, message, retrieving_agent, text

TOKENIZER = Tokenizer.load(model_folder())
RAW = {"api": "openai-completions"}
TOOL = {"type": "function", "function": {"name": "sh", "description": "Run.", "parameters": {}}}


def test_a_completion_is_scored_under_the_ids_that_were_sent() -> None:
    prompt = message("prompt", {"type": "tokens", "ids": [5, 6, 7]})
    response = message("completion", {"type": "tokens", "ids": [8, 9], "text": "ok"})
    made = render(call_session([Exchange([prompt], response, RAW)]), TOKENIZER)
    (variant,) = made.variants()
    assert (list(variant.ids), variant.ranges) == ([5, 6, 7, 8, 9], ((3, 5),))
    assert made.responses[0].text == "ok"


def test_a_completion_is_raw_whatever_its_call_says() -> None:
    exchange = [message("prompt", "Once"), message("completion", " upon")]
    made, known = (render(call_session([Exchange(exchange[:1], exchange[1], api)]), TOKENIZER) for api in ({}, RAW))
    assert made.variants() == known.variants()


def test_the_text_of_a_completion_keeps_its_control_tokens_and_is_cut_at_memories() -> None:
    start, end = "<|im_start|>user\n", "Hi<|im_end|>\n<|im_start|>assistant\n"
    prompt = message("prompt", start, text("Mira is here. ", "who"), end)
    made = render(call_session([Exchange([prompt], message("completion", "Hello."), RAW)]), TOKENIZER)
    (whole,), (less,) = made.variants(), made.variants({"who"})
    ids = [TOKENIZER.parse(piece)[0] for piece in (start, "Mira is here. ", end, "Hello.")]
    assert list(whole.ids) == [number for piece in ids for number in piece]
    assert list(less.ids) == [*ids[0], *ids[2], *ids[3]]
    assert whole.ranges == ((len(whole.ids) - len(ids[3]), len(whole.ids)),)


def test_each_call_is_rendered_with_its_own_tools(templates: Callable[[str], Tokenizer]) -> None:
    tokenizer = templates("blocks")
    asked, answer, more = message("user", "List."), message("assistant", "Done."), message("user", "More.")
    exchanges = [Exchange([asked], answer, {"tools": (TOOL,)}), Exchange([asked, answer, more], answer)]
    made = render(call_session(exchanges), tokenizer)
    chat = [{"role": "user", "content": "List."}, {"role": "assistant", "content": "Done."}]
    longer = [*chat, {"role": "user", "content": "More."}, chat[1]]
    for variant, messages, tools in zip(made.variants(), (chat, longer), ([TOOL], None), strict=True):
        ids = tokenizer.parse(tokenizer.apply_template(messages, tools))[0]
        assert list(variant.ids) == ids[: len(variant.ids)]


def test_of_a_turn_that_the_request_had_begun_only_the_rest_is_scored(templates: Callable[[str], Tokenizer]) -> None:
    tokenizer = templates("blocks")
    begun = message("assistant", {"type": "thinking", "text": "Hm."}, "You are")
    exchange = Exchange([message("user", "Who?"), begun], message("assistant", " Mira."), {"api": "anthropic-messages"})
    made = render(call_session([exchange]), tokenizer)
    assert tokenizer.decode(made.continuation_ids(0)) == " Mira.<|end|>"
    assert tokenizer.decode(made.context_ids(0)).endswith("<think>\nHm.\n</think>\nYou are")


def test_a_response_that_is_continued_later_keeps_the_end_of_its_own_turn(
    templates: Callable[[str], Tokenizer],
) -> None:
    tokenizer = templates("blocks")
    asked, answer, more = message("user", "Who?"), message("assistant", "You are"), message("assistant", " Mira.")
    continuing = Exchange([asked, answer], more, {"api": "anthropic-messages"})
    next_one = Exchange([asked, answer, more, asked], answer)
    made = render(call_session([Exchange([asked], answer), continuing, next_one]), tokenizer)
    assert [tokenizer.decode(made.continuation_ids(index)) for index in range(3)] == [
        "You are<|end|>",
        " Mira.<|end|>",
        "You are<|end|>",
    ]
    assert tokenizer.decode(made.context_ids(1)).endswith("<|block|>assistant\nYou are")
    assert "You are<|end|>\n<|block|>assistant\n Mira.<|end|>" in tokenizer.decode(made.context_ids(2))


def test_the_first_token_of_a_completion_is_neither_scored_nor_left_out() -> None:
    answer = message("completion", {"type": "tokens", "ids": [8, 9]})
    remembered = message("prompt", text("Mira is here.", "who"))
    made = render(call_session([Exchange([], answer, RAW), Exchange([remembered], answer, RAW)]), TOKENIZER)
    first = TOKENIZER.parse("Mira is here.")[0][0]
    bare = made.variants({"who"})
    assert [(list(one.ids), one.ranges) for one in bare] == [([8, 9], ((1, 2),)), ([first, 8, 9], ((1, 3),))]


def test_a_window_of_the_conversation_keeps_the_text_that_a_completion_continues() -> None:
    made = render(call_session([Exchange([message("prompt", "Once")], message("completion", " upon"), RAW)]), TOKENIZER)
    assert made.variants(entries=range(1, 2)) == made.variants()


@pytest.mark.parametrize("shape", ["blocks", "headers", "forgets", "thinks", "empty thoughts"])
def test_no_end_of_reasoning_is_scored_that_the_model_did_not_reach(
    templates: Callable[[str], Tokenizer], shape: str
) -> None:
    tokenizer, thought = templates(shape), message("assistant", {"type": "thinking", "text": "Hmm so"})
    made = render(call_session([Exchange([message("user", "Who?")], thought, {"status": "cut"})]), tokenizer)
    assert tokenizer.decode(made.continuation_ids(0)).removeprefix("<think>\n") == "Hmm so"


def test_reasoning_that_was_cut_is_closed_for_what_follows() -> None:
    asked, thought = message("user", "Who?"), message("assistant", {"type": "thinking", "text": "Hmm so"})
    exchanges = [
        Exchange([asked], thought, {"status": "cut"}),
        Exchange([asked, thought, asked], message("assistant", "Mira.")),
    ]
    made = render(call_session(exchanges), TOKENIZER, "chatml")
    assert TOKENIZER.decode(made.continuation_ids(0)) == "<think>\nHmm so"
    assert "<think>\nHmm so\n</think>\n<|im_end|>\n" in TOKENIZER.decode(made.context_ids(1))


def test_tool_results_in_a_user_turn_become_tool_messages(templates: Callable[[str], Tokenizer]) -> None:
    tokenizer = templates("blocks")
    call = message("assistant", {"type": "tool_call", "id": "x1", "name": "sh", "arguments": {"cmd": "ls"}})
    result = message("user", {"type": "tool_result", "id": "x1", "text": "a.txt"}, "And now?")
    made = render(
        call_session([Exchange([message("user", "List."), call, result], message("assistant", "Ok."))]), tokenizer
    )
    chat: list[dict[str, object]] = [
        {"role": "user", "content": "List."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "x1", "type": "function", "function": {"name": "sh", "arguments": {"cmd": "ls"}}}],
        },
        {"role": "tool", "tool_call_id": "x1", "content": "a.txt"},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Ok."},
    ]
    (variant,) = made.variants()
    assert list(variant.ids) == tokenizer.parse(tokenizer.apply_template(chat))[0][: len(variant.ids)]


@pytest.mark.parametrize("choice", ["own", "chatml"])
def test_a_growing_session_is_rendered_as_if_it_were_new(choice: str) -> None:
    growing = SessionRenderer(TOKENIZER, choice)  # type: ignore[arg-type]
    before: tuple[TokenSequence, ...] = ()
    for session in growing_session(retrieving_agent(6, memories=4)):
        grown, fresh = growing.render(session), render(session, TOKENIZER, choice)  # type: ignore[arg-type]
        assert all(one is other for one, other in zip(before, grown.sequences, strict=False))
        before = grown.sequences
        assert [list(one.ids()) for one in grown.sequences] == [list(one.ids()) for one in fresh.sequences]
        assert grown.memories == fresh.memories


def test_a_memory_with_another_text_is_another_version_of_the_same_memory() -> None:
    old, new = (message("system", text(f"Port {port}.", "port")) for port in (7432, 8111))
    asked, answer = message("user", "Which?"), message("assistant", "That one.")
    made = render(call_session([Exchange([old, asked], answer), Exchange([new, asked], answer)]), TOKENIZER)
    (memory,) = made.memories
    assert memory.responses == range(2)
    bare = render(call_session([Exchange([message("system"), asked], answer)]), TOKENIZER)
    assert [one.ids for one in made.variants({"port"})] == [bare.variants()[0].ids] * 2
