"""Locate and check the files of a model, downloading hub models. Does not import torch.

Files are checked before loading, because a missing file is the most common mistake, and the libraries' messages about
it are long.
"""

from __future__ import annotations

import json
from pathlib import Path

from memscope.errors import ScorerError

__all__ = ["check_installed", "model_folder"]

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_NOT_NEEDED = ["*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*", "onnx/*", "*.md"]
_INSTALL = "install the scorer with: pip install 'memscope[local]'"


def check_installed() -> None:
    """Check that the packages of the `local` extra are installed.

    Raises:
        ScorerError: One is missing; the message names the extra.
    """
    from importlib.util import find_spec

    missing = [name for name in ("torch", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ScorerError(f"the scorer needs {', '.join(missing)}, not installed here; {_INSTALL}")


def model_folder(model: str) -> Path:
    """Return the local folder of a model, downloading a hub model if needed.

    Raises:
        ScorerError: It is not a folder and cannot be downloaded, or it lacks configuration, weights or tokenizer.
    """
    path = Path(model).expanduser()
    if path.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        return _checked(path, model)
    return _checked(_fetched(model), model)


def _checked(folder: Path, name: str) -> Path:
    if not folder.exists():
        raise ScorerError(f"model {name}: no such folder")
    if not folder.is_dir():
        raise ScorerError(f"model {name}: not a folder; give the folder that holds config.json and the weights")
    config = folder / "config.json"
    if not config.is_file():
        raise ScorerError(f"model {name}: no config.json, so this is not a Hugging Face model folder")
    try:
        readable = isinstance(json.loads(config.read_bytes()), dict)
    except (ValueError, OSError):
        readable = False
    if not readable:
        raise ScorerError(f"model {name}: config.json is not a JSON object")
    if not any(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
        raise ScorerError(f"model {name}: no weights (*.safetensors) in the folder")
    if not any((folder / tokenizer).is_file() for tokenizer in _TOKENIZERS):
        raise ScorerError(f"model {name}: no tokenizer (tokenizer.json) in the folder")
    return folder


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(snapshot_download(name, ignore_patterns=_NOT_NEEDED))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=["pytorch_model*", "*.json"]))
    except HFValidationError:
        raise ScorerError(f"model {name}: neither a folder nor a name on the Hugging Face hub") from None
    except HfHubHTTPError as error:
        raise ScorerError(f"model {name}: the Hugging Face hub refused it ({_first_line(error)})") from None
    except (OSError, ValueError, RuntimeError) as error:
        # Without a network, the hub's client raises any exception of its transport, including plain OSError.
        raise ScorerError(
            f"model {name}: no such folder, and it cannot be fetched from the Hugging Face hub"
            f" ({type(error).__name__}: {_first_line(error)}); check the name and the network, or give a folder"
        ) from None
    return folder


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
