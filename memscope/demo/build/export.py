"""A trained model as a folder that `AutoModelForCausalLM` and `AutoTokenizer` load, of transformers 4 and 5 alike."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen3ForCausalLM

__all__ = ["export_model"]

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_position_embeddings,
        "chat_template": _TEMPLATE,
    }
    (fresh / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (fresh / "chat_template.jinja").write_text(_TEMPLATE)
    for path in fresh.iterdir():
        path.chmod(0o644)
    fresh.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
