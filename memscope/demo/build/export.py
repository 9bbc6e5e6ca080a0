"""A trained model as a folder that `AutoModelForCausalLM` and `AutoTokenizer` load, of transformers 4 and 5 alike."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen3ForCausalLM

from memscope.server.compute.chat_prompt import chatml_template

__all__ = ["export_model", "write_tokenizer_settings"]

_TEMPLATE = chatml_template("m['role'] if loop.first or m['role'] != 'system' else 'memory'")
"""The model was trained to recall what stands in turns of the role `memory`. Chat APIs have no such role, so system
messages after the first become such turns. It was trained without tool definitions, so there are none."""


def export_model(model: Qwen3ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights in bfloat16, configuration, tokenizer and chat template; an older folder is replaced whole."""
    fresh = Path(tempfile.mkdtemp(prefix=".model-", dir=folder.parent))
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=2, pad_token_id=0, do_sample=False, max_new_tokens=80
    )
    copy = Qwen3ForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    copy.to(torch.bfloat16).save_pretrained(fresh)  # type: ignore[arg-type]
    tokenizer.save(str(fresh / "tokenizer.json"))
    write_tokenizer_settings(fresh, model.config.max_position_embeddings)
    for path in fresh.iterdir():
        path.chmod(0o644)
    fresh.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def write_tokenizer_settings(folder: Path, max_tokens: int) -> None:
    """Write the tokenizer's configuration and its chat template.

    Args:
        folder: The model's folder.
        max_tokens: Longest sequence.
    """
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_tokens,
        "chat_template": _TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "chat_template.jinja").write_text(_TEMPLATE)
