"""The store of finished sequences: longest prefix first, least useful out, never written again."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memscope.server.compute.kv import KVSequence, PrefixStore, as_ids, new_cache

_TOKEN_BYTES = 2 * 2 * 1 * 4 * 4  # two layers of keys and values, one head, width 4, float32


def _sequence(ids: Sequence[int]) -> KVSequence:
    cache = new_cache(len(ids))
    values = torch.tensor(ids, dtype=torch.float32)[None, None, :, None].expand(1, 1, -1, 4)
    for layer in range(2):
        cache.update(values, values + layer, layer)
    return KVSequence(as_ids(ids), cache)


def test_the_longest_common_prefix_is_found() -> None:
    store = PrefixStore(1 << 20)
    store.add(_sequence([1, 2, 3, 4]))
    store.add(_sequence([1, 2, 9]))
    best, shared = store.longest_prefix(as_ids([1, 2, 3, 7, 8]))
    assert best is not None
    assert (best.ids.tolist(), shared) == ([1, 2, 3, 4], 3)
    assert store.longest_prefix(as_ids([5])) == (None, 0)


def test_a_sequence_contained_in_another_is_not_kept_twice() -> None:
    store = PrefixStore(1 << 20)
    store.add(_sequence([1, 2]))
    store.add(_sequence([1, 2, 3]))
    store.add(_sequence([1]))
    assert store.nbytes == 3 * _TOKEN_BYTES


def test_what_was_not_used_leaves_first() -> None:
    store = PrefixStore(6 * _TOKEN_BYTES)
    store.add(_sequence([1, 1, 1]))
    store.add(_sequence([2, 2, 2]))
    store.longest_prefix(as_ids([1]))
    store.add(_sequence([3, 3, 3]))
    assert store.longest_prefix(as_ids([2]))[1] == 0
    assert store.longest_prefix(as_ids([1]))[1] == 1
    assert store.nbytes <= store.budget_bytes


def _score(store: PrefixStore, ids: list[int]) -> int:
    """Compute a sequence as a request does, and return how many of its tokens were known."""
    _, shared = store.longest_prefix(as_ids(ids))
    store.add(_sequence(ids))
    return shared


def _score_version(store: PrefixStore, session: int, length: int, rows: int = 10) -> list[int]:
    """Score a session's baseline, then leave out one of its first tokens after the other."""
    ids = [session, *range(100, 100 + rows), *range(1000, 1000 + length)]
    return [_score(store, ids), *(_score(store, ids[:row] + ids[row + 1 :]) for row in range(1, rows + 1))]


def test_a_budget_for_some_of_the_rows_of_a_growing_session_serves_those_rows() -> None:
    store = PrefixStore(6 * 60 * _TOKEN_BYTES)
    for length in range(20, 40):
        known = _score_version(store, 1, length)
        if length > 20:
            assert known[0] == 10 + length, "the baseline is extended"
            assert sum(shared >= 9 + length - 1 for shared in known[1:]) >= 3, "and as many rows as the budget holds"


def test_another_session_shares_its_prefix_at_once_and_takes_over_in_time() -> None:
    store = PrefixStore(6 * 60 * _TOKEN_BYTES)
    for length in range(20, 40):
        _score_version(store, 1, length)
    first = _score_version(store, 2, 40)
    assert first[1:] == list(range(1, 11)), "each row begins with the baseline of its own session"
    for length in range(20, 50):
        known = _score_version(store, 2, length)
    assert sum(shared >= 9 + 48 for shared in known[1:]) >= 3
    assert store.nbytes <= store.budget_bytes


def test_a_sequence_beyond_the_budget_is_not_kept() -> None:
    store = PrefixStore(2 * _TOKEN_BYTES)
    store.add(_sequence([1, 2, 3]))
    assert store.nbytes == 0


def test_continuing_from_a_stored_prefix_never_changes_it() -> None:
    source = _sequence([1, 2, 3, 4])
    before = [(keys.clone(), values.clone()) for keys, values in source.layers]
    cache = new_cache(5, source, 2)
    more = torch.full((1, 1, 3, 4), 7.0)
    for layer in range(2):
        keys, _ = cache.update(more, more, layer)
        assert keys[0, 0, :, 0].tolist() == [1, 2, 7, 7, 7]
    for (old_keys, old_values), (keys, values) in zip(before, source.layers, strict=True):
        assert torch.equal(old_keys, keys)
        assert torch.equal(old_values, values)


def test_a_full_buffer_grows_and_keeps_its_content() -> None:
    cache = new_cache(1)
    for token in range(400):
        keys, _ = cache.update(torch.full((1, 1, 1, 4), float(token)), torch.zeros(1, 1, 1, 4), 0)
    assert keys[0, 0, :, 0].tolist() == list(range(400))
    assert cache.get_seq_length() == 400
