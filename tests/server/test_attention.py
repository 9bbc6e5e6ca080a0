"""Lower-right attention equals masked attention, and is used only where the model proves it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from memscope.server import attention
from memscope.server.attention import lower_right_attention
from memscope.server.loading import LoadedModel
from memscope.server.paths import choose_path


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(("past", "suffix"), [(0, 1), (0, 300), (5, 1), (1, 7), (260, 129), (300, 300)])
def test_it_equals_attention_with_a_lower_right_mask(kv_heads: int, past: int, suffix: int) -> None:
    torch.manual_seed(past + suffix)
    query = torch.randn(1, 4, suffix, 16)
    buffer = torch.randn(2, 1, kv_heads, past + suffix + 50, 16)
    key, value = buffer[0][:, :, : past + suffix], buffer[1][:, :, : past + suffix]
    output, weights = lower_right_attention(torch.nn.Identity(), query, key, value, None, scaling=0.3)
    mask = torch.ones(suffix, past + suffix, dtype=torch.bool).tril(past)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query,
        key.repeat_interleave(4 // kv_heads, 1),
        value.repeat_interleave(4 // kv_heads, 1),
        attn_mask=mask,
        scale=0.3,
    )
    assert weights is None
    assert torch.allclose(output, expected.transpose(1, 2), atol=1e-5)


def test_a_mask_is_refused() -> None:
    states = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match="takes no mask"):
        lower_right_attention(torch.nn.Identity(), states, states, states, torch.ones(1, 1, 2, 2))


def test_where_the_operator_is_missing_plain_chunks_are_used(
    loaded_models: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded_models("llama").model
    monkeypatch.setattr(attention, "available", lambda _device: False)
    model.set_attn_implementation("sdpa")
    path = choose_path(model, 512)
    model.set_attn_implementation(loaded_models("llama").path.attention)
    assert path.prefix_cache
    assert path.attention == "sdpa"


def test_where_the_operator_computes_something_else_plain_chunks_are_used(
    loaded_models: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded_models("llama").model
    model.set_attn_implementation("sdpa")
    monkeypatch.setattr(attention, "_merge", lambda left, *_: left)
    path = choose_path(model, 512)
    model.set_attn_implementation(loaded_models("llama").path.attention)
    assert (path.prefix_cache, path.attention) == (True, "sdpa")
    assert "plain chunks" in path.note
