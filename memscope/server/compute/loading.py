"""From a model's folder to a loaded model: device, dtype, limits, tokenizer, compute path, fingerprint."""

from __future__ import annotations

import copy
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from memscope.errors import ScorerError
from memscope.server.compute.fingerprint import fingerprint
from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.passes import Pass, PlainPass, PrefixPass
from memscope.server.compute.paths import ComputePath, choose_path, vocabulary_size
from memscope.server.compute.tokenizer_view import TokenizerView
from memscope.server.options import ServeOptions

__all__ = ["LoadedModel", "load", "training_copy", "with_weights"]

_CHUNK_CPU = 512
_CHUNK_DEVICE = 2048


@dataclass(frozen=True)
class LoadedModel:
    """One set of weights, ready to compute, with everything that must change together when the weights change.

    A request takes one of these when it starts and stays with it, so its reply never mixes two sets of weights.

    Attributes:
        model: The network, in evaluation mode.
        tokenizer: Its tokenizer.
        root: The folder it came from.
        name: Its name in the protocol.
        weights: The fingerprint of the weights.
        max_tokens: Longest sequence, or None where the architecture has no limit.
        path: How sequences are computed.
        chunk: Tokens a forward.
        store: Keys and values computed with these weights.
    """

    model: PreTrainedModel
    tokenizer: TokenizerView
    root: Path
    name: str
    weights: str
    max_tokens: int | None
    path: ComputePath
    chunk: int
    store: PrefixStore

    @property
    def dtype(self) -> str:
        """The dtype of the computation, such as "float32"."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def device(self) -> str:
        """The device, such as "cpu"."""
        return str(self.model.device)

    @property
    def vocabulary(self) -> int:
        """Number of rows of the input embeddings: every id must be below."""
        return vocabulary_size(self.model)

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that end a generation: the model's own, and the tokenizer's."""
        own = getattr(self.model.generation_config, "eos_token_id", None)
        listed = own if isinstance(own, list) else [] if own is None else [own]
        return self.tokenizer.eos_ids | {int(token) for token in listed}

    def start(self, ids: Ids, *, first: int, end: int) -> Pass:
        """Begin a pass over `ids`: output positions from `first` on are needed, `end` positions in all."""
        if self.path.prefix_cache:
            return PrefixPass(self.model, self.store, ids, first=first, end=end, chunk=self.chunk)
        return PlainPass(self.model, ids, plain_head=self.path.plain_head)


def load(folder: Path, options: ServeOptions) -> LoadedModel:
    """Load a model and its tokenizer from a folder that `model_folder` has checked.

    Raises:
        ScorerError: It cannot be loaded; one line says why.
    """
    _silence()
    device = _device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        model = _network(folder, device, options.dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        max_tokens = options.max_model_len or _own_limit(model)
        path = choose_path(model, max_tokens)
    except ScorerError:
        raise
    except Exception as error:  # whatever the libraries raise for a broken folder becomes the one line
        raise ScorerError(f"model {options.model}: cannot be loaded ({_one_line(error)})") from error
    return LoadedModel(
        model=model,
        tokenizer=TokenizerView(tokenizer, folder),
        root=folder,
        name=options.served_name or _default_name(options.model, folder),
        weights=fingerprint(model),
        max_tokens=max_tokens,
        path=path,
        chunk=options.chunk_tokens or (_CHUNK_CPU if device.type == "cpu" else _CHUNK_DEVICE),
        store=PrefixStore(options.kv_budget_bytes),
    )


def training_copy(loaded: LoadedModel) -> PreTrainedModel:
    """Return a copy of the weights that computes as the model came, so that it has gradients."""
    model = copy.deepcopy(loaded.model)
    loaded.path.undo(model)
    return model


def with_weights(loaded: LoadedModel, model: PreTrainedModel) -> LoadedModel:
    """Return the same service around other weights of the same architecture: new fingerprint, empty store."""
    loaded.path.apply(model)
    return LoadedModel(
        model=model,
        tokenizer=loaded.tokenizer,
        root=loaded.root,
        name=loaded.name,
        weights=fingerprint(model),
        max_tokens=loaded.max_tokens,
        path=loaded.path,
        chunk=loaded.chunk,
        store=PrefixStore(loaded.store.budget_bytes),
    )


def _silence() -> None:
    # Progress bars and advice on standard error would hide the one line that matters.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ScorerError(f"device {name}: not usable here ({_one_line(error)})") from None
    return device


def _network(folder: Path, device: torch.device, dtype: str) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=_dtype(config.dtype, device, dtype), local_files_only=True
    )
    model.to(device)  # type: ignore[arg-type]
    model.requires_grad_(False).eval()  # type: ignore[no-untyped-call]
    return model


def _dtype(own: torch.dtype | str | None, device: torch.device, asked: str) -> torch.dtype:
    if asked != "auto":
        chosen = getattr(torch, asked, None)
        if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
            raise ScorerError(f"dtype {asked}: unknown; use float32, bfloat16 or float16")
        return chosen
    if device.type == "cpu":
        return torch.float32
    return own if isinstance(own, torch.dtype) else torch.bfloat16


def _own_limit(model: PreTrainedModel) -> int | None:
    config = model.config.get_text_config(decoder=True)
    for field in ("max_position_embeddings", "n_positions", "seq_length", "max_sequence_length"):
        limit = getattr(config, field, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def _default_name(model: str, folder: Path) -> str:
    return folder.resolve().name if Path(model).expanduser().exists() else model


def _one_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
