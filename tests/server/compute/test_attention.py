"""Lower-right attention equals masked attention, and is used only where the model proves it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

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
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"attention_mask": torch.ones(1, 1, 2, 2)}, "a mask"),
        ({"softcap": 50.0}, "softcap"),
        ({"s_aux": torch.zeros(1)}, "s_aux"),
        ({"sinks": torch.zeros(1)}, "sinks"),
        ({"position_bias": torch.zeros(1, 1, 2, 2)}, "position_bias"),
        ({"sliding_window": 1}, "a sliding window"),
        ({"is_causal": False}, "attention to later positions"),
        ({"dropout": 0.1}, "dropout"),
        ({"something_new": 0.0}, "something_new"),
    ],
)
def test_what_it_does_not_implement_is_refused(attend: Attention, asked: dict[str, Any], said: str) -> None:
    states = torch.zeros(1, 1, 2, 4)
    with pytest.raises(NotImplementedError, match=f"does not implement {said}$"):
        attend(torch.nn.Identity(), states, states, states, **({"attention_mask": None} | asked))


def test_a_layer_that_looks_ahead_and_a_batch_are_refused() -> None:
    states = torch.zeros(2, 1, 2, 4)
    layer = torch.nn.Identity()
    layer.is_causal = False  # type: ignore[assignment]
    with pytest.raises(NotImplementedError, match="a batch, attention to later positions"):
        flash_attention(layer, states, states, states, None)


def test_what_changes_nothing_is_taken() -> None:
    states = torch.zeros(1, 1, 2, 4)
    given: dict[str, Any] = {"sliding_window": 2, "is_causal": True, "dropout": 0.0, "softcap": None}
    output, _ = flash_attention(torch.nn.Identity(), states, states, states, None, None, **given)
    assert output.shape == (1, 2, 1, 4)


@pytest.fixture
def stock(loaded_models: Callable[[str], LoadedModel]) -> PreTrainedModel:
    """Return a model as transformers loads it, with neither attention nor products of ours."""
    model = copy.deepcopy(loaded_models("llama").model)
    onednn.restore(model)
    model.set_attn_implementation("sdpa")
    return model


def _never(*_: object) -> bool:
    return False


def _always(*_: object) -> bool:
    return True


@pytest.fixture
def with_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "usable", _always)
    monkeypatch.setattr(onednn, "is_faster", _always)


def test_where_products_pay_its_products_are_used(stock: PreTrainedModel, with_operators: None) -> None:
    path = choose_path(stock, 512, 64)
    assert (path.name, path.prefix_cache, path.attention, path.note) == ("products", True, attention.PRODUCTS, "")


def test_where_it_does_not_the_flash_kernel_is_used(stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_faster", _never)
    path = choose_path(stock, 512, 64)
    assert (path.name, path.prefix_cache, path.attention, path.note) == ("flash", True, attention.FLASH, "")


def test_where_the_operators_are_missing_plain_chunks_are_used(
    stock: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "usable", _never)
    monkeypatch.setattr(attention, "available", _never)
    path = choose_path(stock, 512, 64)
    assert (path.name, path.prefix_cache, path.attention) == ("stock", True, "sdpa")
    assert "plain chunks" in path.note


def test_where_the_operators_compute_something_else_plain_chunks_are_used(
    stock: PreTrainedModel, with_operators: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "product", lambda rows, weight, bias=None: rows @ weight.t() * 1.01)
    monkeypatch.setattr(attention, "_merge", lambda left, *_: left)
    path = choose_path(stock, 512, 64)
    assert (path.name, path.prefix_cache, path.attention) == ("stock", True, "sdpa")
    assert {type(module) for module in stock.modules() if isinstance(module, torch.nn.Linear)} == {torch.nn.Linear}


def test_layers_that_use_products_still_have_gradients(stock: PreTrainedModel) -> None:
    onednn.accelerate(stock)
    ids = torch.tensor([[5, 6, 7]])
    stock.requires_grad_(True)
    stock(ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in stock.parameters())
