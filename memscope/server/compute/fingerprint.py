"""A fingerprint of the model weights, which any training step changes."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import PreTrainedModel

__all__ = ["fingerprint"]

_IRRELEVANT_FIELDS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
"""Configuration fields that do not change what the model computes."""


def fingerprint(model: PreTrainedModel) -> str:
    """Hash every parameter and persistent buffer (name, dtype, shape, bytes) and the configuration: 32 hex digits."""
    tensors = sorted(model.state_dict().items())
    # hashlib releases the GIL, so threads make this as fast as memory access.
    with ThreadPoolExecutor(max_workers=4) as pool:
        digests = pool.map(lambda item: _digest(*item), tensors)
        total = hashlib.blake2b(_configuration(model), digest_size=16)
        for digest in digests:
            total.update(digest)
    return total.hexdigest()


def _digest(name: str, tensor: torch.Tensor) -> bytes:
    digest = hashlib.blake2b(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _configuration(model: PreTrainedModel) -> bytes:
    fields = {name: value for name, value in model.config.to_dict().items() if name not in _IRRELEVANT_FIELDS}
    return json.dumps(fields, sort_keys=True, default=str).encode()
