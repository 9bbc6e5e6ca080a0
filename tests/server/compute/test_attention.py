"""Lower-right attention equals masked attention, and is used only where the model proves it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from transformers import PreTrainedModel

from memscope.server.compute import attention, onednn
from memscope.server.compute.attention import flash_attention, products_attention
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.paths import choose_path

Attention: TypeAlias = Callable[..., tuple[torch.Tensor, None]]


@pytest.mark.parametrize("attend", [flash_attention, products_attention])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(("past", "suffix"), [(0, 1), (0, 300), (5, 1), (1, 7), (260, 129), (300, 300)])
def test_it_equals_attention_with_a_lower_right_mask(attend: Attention, kv_heads: int, past: int, suffix: int) -> None:
    torch.manual_seed(past + suffix)
    query = torch.randn(1, 4, suffix, 16)
    buffer = torch.randn(2, 1, kv_heads, past + suffix + 50, 16)
    key, value = buffer[0][:, :, : past + suffix], buffer[1][:, :, : past + suffix]
    output, weights = attend(torch.nn.Identity(), query, key, value, None, scaling=0.3)
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


@pytest.mark.parametrize("attend", [flash_attention, products_attention])
def test_a_mask_is_refused(attend: Attention) -> None:
    states = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match="takes no mask"):
        attend(torch.nn.Identity(), states, states, states, torch.ones(1, 1, 2, 2))


@pytest.fixture
def stock(loaded_models: Callable[[str], LoadedModel]) -> PreTrainedModel:
    """Return a model as transformers loads it, with neither attention nor products of ours."""
    model = copy.deepcopy(loaded_models("llama").model)
    onednn.restore(model)
    model.set_attn_implementation("sdpa")
    return model


def _never(*_: object) -> bool:
    return False


def test_where_products_pay_its_products_are_used(stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "pays", lambda _model: True)
    path = choose_path(stock, 512)
    assert (path.prefix_cache, path.attention, path.note) == (True, attention.PRODUCTS, "")


def test_where_it_does_not_the_flash_kernel_is_used(stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "pays", _never)
    path = choose_path(stock, 512)
    assert (path.prefix_cache, path.attention, path.note) == (True, attention.FLASH, "")


def test_where_the_operators_are_missing_plain_chunks_are_used(
    stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "pays", _never)
    monkeypatch.setattr(attention, "available", _never)
    path = choose_path(stock, 512)
    assert (path.prefix_cache, path.attention) == (True, "sdpa")
    assert "plain chunks" in path.note


def test_where_the_operators_compute_something_else_plain_chunks_are_used(
    stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "pays", lambda _model: True)
    monkeypatch.setattr(onednn, "product", lambda rows, weight, bias=None: rows @ weight.t() * 1.01)
    monkeypatch.setattr(attention, "_merge", lambda left, *_: left)
    path = choose_path(stock, 512)
    assert (path.prefix_cache, path.attention) == (True, "sdpa")
    assert {type(module) for module in stock.modules() if isinstance(module, torch.nn.Linear)} == {torch.nn.Linear}


def test_layers_that_use_products_still_have_gradients(stock: PreTrainedModel) -> None:
    onednn.accelerate(stock)
    ids = torch.tensor([[5, 6, 7]])
    stock.requires_grad_(True)
    stock(ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in stock.parameters())
