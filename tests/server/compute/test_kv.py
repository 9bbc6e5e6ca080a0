"""The store of finished sequences: longest prefix first, least recently used out, never written again."""

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


def test_the_least_recently_used_leaves_first() -> None:
    store = PrefixStore(6 * _TOKEN_BYTES)
    store.add(_sequence([1, 1, 1]))
    store.add(_sequence([2, 2, 2]))
    store.longest_prefix(as_ids([1]))
    store.add(_sequence([3, 3, 3]))
    assert store.longest_prefix(as_ids([2]))[1] == 0
    assert store.longest_prefix(as_ids([1]))[1] == 1
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
