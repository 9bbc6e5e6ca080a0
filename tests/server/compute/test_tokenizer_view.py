"""Text of ids as they arrive, and the turns of a ChatML prompt."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.tokenizer_view import Detokenizer, TokenizerView


def _view(loaded_models: Callable[[str], LoadedModel]) -> TokenizerView:
    return loaded_models("bundled").tokenizer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_deltas_join_to_the_whole_text(loaded_models: Callable[[str], LoadedModel], text: str) -> None:
    view = _view(loaded_models)
    ids = view.encode(text)
    detokenizer = Detokenizer(view)
    assert "".join(detokenizer.add(token) for token in ids) + detokenizer.rest() == view.decode(ids)


def test_a_split_character_arrives_whole(loaded_models: Callable[[str], LoadedModel]) -> None:
    view = _view(loaded_models)
    detokenizer = Detokenizer(view)
    deltas = [detokenizer.add(token) for token in view.encode("a😀")]
    assert deltas[0] == "a"
    assert set(deltas[1:-1]) <= {""}
    assert deltas[-1] == "😀"


def test_assistant_turns_run_through_their_end_marker(loaded_models: Callable[[str], LoadedModel]) -> None:
    view = _view(loaded_models)
    user = view.encode("<|im_start|>user\nassistant\n<|im_end|>\n")
    answer = view.encode("<|im_start|>assistant\n")
    ids = user + answer + [70, 71, 2] + user + answer + [72] + answer
    first = len(user) + len(answer)
    second = first + 3 + len(user) + len(answer)
    assert ids[first + 2] == view.encode("<|im_end|>")[0]
    assert view.assistant_turns(ids)[0] == (first, first + 3)
    assert view.assistant_turns(ids[: second + 1]) == [(first, first + 3), (second, second + 1)]
    assert view.assistant_turns(ids[:second]) == [(first, first + 3)]


def test_the_files_make_the_same_tokenizer(loaded_models: Callable[[str], LoadedModel]) -> None:
    files = _view(loaded_models).files()
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= set(files)
