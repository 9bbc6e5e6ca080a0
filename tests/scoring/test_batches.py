"""Sequences are scored in batches whose baselines fit into the scorer's prefix cache."""

from __future__ import annotations

from memscope.demo import model_folder
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.scoring.batches import response_batches
from memscope.scoring.layout import layout_of
from tests.call_sessions import call_session, retrieving_agent

SESSION = call_session(retrieving_agent(6, memories=4))
PROMPT, LAYOUT = render(SESSION, Tokenizer.load(model_folder()), "chatml"), layout_of(SESSION)


def test_everything_is_one_batch_where_it_fits_or_nothing_is_kept() -> None:
    assert response_batches(PROMPT, LAYOUT, None, None) == [None]
    assert response_batches(PROMPT, LAYOUT, None, 10**6) == [None]
    some = LAYOUT.responses[:2]
    assert response_batches(PROMPT, LAYOUT, some, 10**6) == [some]


def test_a_small_cache_gives_batches_that_fit_newest_first_and_lose_no_response() -> None:
    cache = 8 * len(PROMPT)
    batches = [list(batch or ()) for batch in response_batches(PROMPT, LAYOUT, None, cache)]
    assert len(batches) > 1
    lengths = {LAYOUT.responses[index]: len(one) for one in PROMPT.sequences for index in one.responses}
    assert all(sum(map(lengths.__getitem__, batch)) <= cache / 4 for batch in batches)
    assert [id_ for batch in batches for id_ in batch] == list(reversed(LAYOUT.responses))


def test_a_sequence_that_does_not_fit_is_a_batch_of_its_own() -> None:
    assert len(response_batches(PROMPT, LAYOUT, None, 1)) == 6
    assert response_batches(PROMPT, LAYOUT, LAYOUT.responses[:2], 1) == [[LAYOUT.responses[1]], [LAYOUT.responses[0]]]
