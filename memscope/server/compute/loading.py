"""Load a model: device, dtype, limits, tokenizer, compute path, fingerprint."""

from __future__ import annotations

import copy
import logging
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from memscope.errors import ScorerError
from memscope.server.compute.fingerprint import fingerprint
from memscope.server.compute.kv import Ids, PrefixStore
from memscope.server.compute.network import Network
from memscope.server.compute.passes import ChunkedPass, ForwardPass, WholePass
from memscope.server.compute.paths import PATHS, ComputePath, PathName, alternate_path, choose_path, vocabulary_size
from memscope.server.compute.sampling import SamplingOptions
from memscope.server.compute.tokenizer_view import TokenizerView
from memscope.server.options import ServeOptions

__all__ = ["PATH_VARIABLE", "LoadedModel", "load", "training_copy", "with_weights"]

_CHUNK_TOKENS = 512

_ALTERNATE_PADDING = 37

PATH_VARIABLE = "MEMSCOPE_SERVE_PATH"
"""Environment variable with the fastest computation path to try, for tests and comparisons."""


@dataclass(frozen=True)
class LoadedModel:
    """One set of weights, ready to compute, with everything that changes together with the weights.

    A request uses the same object from start to end, so its response never mixes two sets of weights.

    Attributes:
        model: The network, in evaluation mode.
        tokenizer: Its tokenizer.
        root: The folder it came from.
        name: Its name in the API.
        weights: The fingerprint of the weights.
        max_tokens: Longest sequence; None if the architecture has no limit.
        path: The computation path.
        network: The model on that path.
        store: Keys and values computed with these weights.
        padding: Number of extra tokens that a plain forward computes.
    """

    model: PreTrainedModel
    tokenizer: TokenizerView
    root: Path
    name: str
    weights: str
    max_tokens: int | None
    path: ComputePath
    network: Network
    store: PrefixStore
    padding: int = 0

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
    def prefix_cache_tokens(self) -> int:
        """About how many tokens' keys and values fit into the prefix store; 0 if prefixes are not reused."""
        if not self.path.prefix_cache:
            return 0
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        per_token = 2 * config.num_hidden_layers * heads * width * self.model.dtype.itemsize
        return self.store.budget_bytes // int(per_token)

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that end a generation: the model's own, and the tokenizer's."""
        own = getattr(self.model.generation_config, "eos_token_id", None)
        listed = own if isinstance(own, list) else [] if own is None else [own]
        return self.tokenizer.eos_ids | {int(token) for token in listed}

    @property
    def sampling(self) -> SamplingOptions:
        """How tokens of chat responses are chosen by default, as the model's own configuration says."""
        own = self.model.generation_config
        greedy = getattr(own, "do_sample", None) is False
        temperature, top_p, top_k = (getattr(own, name, None) for name in ("temperature", "top_p", "top_k"))
        return SamplingOptions(
            temperature=0.0 if greedy else 1.0 if temperature is None else float(temperature),
            top_p=1.0 if top_p is None else float(top_p),
            top_k=top_k or 0,
        )

    @cached_property
    def alternate(self) -> LoadedModel:
        """The same weights on another path with different rounding, and with a store that keeps nothing."""
        model = _sharing_weights(self.model)
        path = alternate_path(self.path, model)
        return replace(self, path=path, network=path.apply(model), store=PrefixStore(0), padding=_ALTERNATE_PADDING)

    def scoring_pass(self, ids: Ids, *, first: int) -> ForwardPass:
        """Begin a pass over `ids` in which output positions from `first` on are needed."""
        if self.path.name in ("whole", "ranges"):
            return self._whole_pass(ids)
        store = self.store if self.path.prefix_cache else None
        return ChunkedPass(self.network, self.path.grid, store, ids, first=first)

    def generation_pass(self, ids: Ids) -> ForwardPass:
        """Begin a pass over `ids` to which tokens will be appended."""
        # A chunk is padded past the prompt's end, which must be cut from the cache afterwards.
        return self.scoring_pass(ids, first=len(ids) - 1) if self.path.prefix_cache else self._whole_pass(ids)

    def _whole_pass(self, ids: Ids) -> ForwardPass:
        self.path.rotary.restore(self.model)
        room = self.padding if self.max_tokens is None else min(self.padding, self.max_tokens - len(ids))
        # Padding would change the length that a length-dependent model sees.
        return WholePass(self.network, ids, padding=0 if self.path.name == "ranges" else room)


def load(folder: Path, options: ServeOptions) -> LoadedModel:
    """Load a model and its tokenizer from a folder that `model_folder` has checked.

    Raises:
        ScorerError: It cannot be loaded; the message says why.
    """
    _silence()
    device = _device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        model = _network(folder, device, options.dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        max_tokens = options.max_model_len or _own_limit(model)
        path = choose_path(model, max_tokens, options.chunk_tokens or _CHUNK_TOKENS, _fastest_path())
    except ScorerError as error:
        raise ScorerError(f"model {options.model}: {error}") from None
    except Exception as error:  # the libraries raise many kinds of exceptions for a broken folder
        raise ScorerError(f"model {options.model}: cannot be loaded ({_one_line(error)})") from error
    return LoadedModel(
        model=model,
        tokenizer=TokenizerView(tokenizer, folder),
        root=folder,
        name=options.served_name or _default_name(options.model, folder),
        weights=fingerprint(model),
        max_tokens=max_tokens,
        path=path,
        network=path.apply(model),
        store=PrefixStore(options.kv_budget_bytes),
    )


def training_copy(loaded: LoadedModel) -> PreTrainedModel:
    """Return a copy of the model with its original computation, which supports gradients."""
    model = copy.deepcopy(loaded.model)
    loaded.path.undo(model)
    return model


def with_weights(loaded: LoadedModel, model: PreTrainedModel) -> LoadedModel:
    """Return a loaded model with other weights of the same architecture, a new fingerprint and an empty store."""
    return replace(
        loaded,
        model=model,
        weights=fingerprint(model),
        network=loaded.path.apply(model),
        store=PrefixStore(loaded.store.budget_bytes),
    )


def _sharing_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of the modules that shares the parameters but whose computation can be changed separately."""
    shared: dict[int, object] = {id(parameter): parameter for parameter in model.parameters()}
    return copy.deepcopy(model, shared)


def _fastest_path() -> PathName | None:
    asked = os.environ.get(PATH_VARIABLE)
    found = next((name for name in PATHS if name == asked), None)
    if asked and found is None:
        raise ScorerError(f"{PATH_VARIABLE}={asked}: unknown; use one of {', '.join(PATHS)}")
    return found


def _silence() -> None:
    # Progress bars and warnings on stderr would hide our own messages.
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
