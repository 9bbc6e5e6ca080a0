"""Load every export of the demo session with the libraries it is meant for, where they are installed.

Run: `python tests/benchmarks/check_exports.py`. It needs `datasets`, `trl` and `torch` to check everything, and says
what it could not check. A tiny model with random weights stands in for the trainers' model.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_EXPORT = """
import sys
from memscope.commands.export import export
from memscope.config import Config
raise SystemExit(export(None, Config(state=sys.argv[1]), sys.argv[2], destination=sys.argv[3]))
"""


def main() -> int:
    """Export, load, train one step each; 1 when something failed."""
    installed = {name: importlib.util.find_spec(name) is not None for name in ("datasets", "trl", "torch")}
    if not installed["datasets"]:
        print("datasets is not installed: nothing checked")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for target in ("trl", "messages", "sdft", "dpo"):
            path = Path(folder) / f"{target}.jsonl"
            subprocess.run([sys.executable, "-c", _EXPORT, folder, target, str(path)], check=True, cwd=_ROOT)
            failed += not _checked(target, path, Path(folder), trainers=installed["trl"] and installed["torch"])
    return int(failed > 0)


def _checked(target: str, path: Path, folder: Path, *, trainers: bool) -> bool:
    data = import_module("datasets").load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(folder / "cache")
    )
    print(f"{target}: datasets loads {len(data)} records, columns {', '.join(data.column_names)}")
    if not trainers:
        print(f"{target}: trl is not installed, not trained")
        return True
    try:
        loss = _TRAINERS[target](data, folder / f"{target}-out")
    except Exception as error:  # whatever a library raises is the finding
        print(f"{target}: FAILED {type(error).__name__}: {error}")
        return False
    print(f"{target}: one training step, loss {loss:.4f}")
    return True


def _model(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from memscope.demo import model_folder

    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder()))
    tokenizer.chat_template = _TEMPLATE
    tokenizer.pad_token = tokenizer.eos_token = "<|im_end|>"
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **shape))
    model.save_pretrained(folder)  # the preference trainer loads its reference model by name
    return LlamaForCausalLM.from_pretrained(folder), tokenizer


def _options(output: Path) -> dict[str, Any]:
    return {
        "output_dir": str(output),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def _supervised(data: Any, output: Path) -> float:
    trl = import_module("trl")
    model, tokenizer = _model(output)
    trainer = trl.SFTTrainer(
        model, args=trl.SFTConfig(**_options(output)), train_dataset=data, processing_class=tokenizer
    )
    if "labels" in data.column_names:
        batch = next(iter(trainer.get_train_dataloader()))
        learned = int((batch["labels"] != -100).sum())
        expected = sum(label != -100 for row in data["labels"] for label in row)
        print(f"trl: {learned} of {batch['labels'].numel()} labels of a batch are learned ({expected} in all records)")
        if not 0 < learned < batch["labels"].numel() / 2:
            raise AssertionError("the label mask did not survive")
    return float(trainer.train().training_loss)


def _preferences(data: Any, output: Path) -> float:
    trl = import_module("trl")
    model, tokenizer = _model(output)
    trainer = trl.DPOTrainer(
        model, args=trl.DPOConfig(**_options(output)), train_dataset=data, processing_class=tokenizer
    )
    return float(trainer.train().training_loss)


def _distilled(data: Any, output: Path) -> float:
    sdft = import_module("trl.experimental.sdft")
    model, tokenizer = _model(output)
    options = _options(output) | {"max_completion_length": 8, "num_generations": 2}
    trainer = sdft.SDFTTrainer(model, args=sdft.SDFTConfig(**options), train_dataset=data, processing_class=tokenizer)
    return float(trainer.train().training_loss)


_TRAINERS: dict[str, Callable[[Any, Path], float]] = {
    "trl": _supervised,
    "messages": _supervised,
    "sdft": _distilled,
    "dpo": _preferences,
}


if __name__ == "__main__":
    sys.exit(main())
