"""Checkpoints: read bytes into named tensors without executing them, and write them back."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.text_tower import TextTower
from vfeat.models.videomamba import Trunk
from vfeat.models.vis4mer import ViS4mer
from vfeat.models.weights import (
    CONFIG_FILE,
    MOST_WRAPPERS,
    PREFIXES,
    TENSORS_FILE,
    WRAPPERS,
    StoredWeights,
    read_weights,
)

_ZIP = b"PK\x03\x04"  # files of torch since 1.6
_MOST_COPIES = 8  # names for one tensor, as tied weights have them


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and, if they come from a vfeat model folder, the configuration they belong to.

    Attributes:
        uri: source, for messages.
        state: tensors on the CPU by official key, without wrappers and prefixes.
        config: fields of the model's configuration, or None.
    """

    uri: str
    state: dict[str, Tensor]
    config: dict[str, Any] | None


def load_checkpoint(uri: str, keep: Collection[str] = ()) -> Checkpoint:
    """Read an official `.pth`, a `.safetensors`, or a folder written by `save_model`.

    Args:
        uri: location of the weights; see `vfeat.models.weights`.
        keep: key names of the model that begin like a wrapper's prefix and must not be stripped.

    Raises:
        JobError: not a checkpoint, or one that holds more than data.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    stored = read_weights(uri)
    tensors = _safetensors(stored) if stored.is_safetensors else _unwrap(uri, _unpickle(stored))
    _refuse_inflated(stored, sum(one.numel() * one.element_size() for one in tensors.values()))
    return Checkpoint(uri, _strip_prefixes(uri, tensors, keep), stored.config)


def save_model(
    model: Trunk | ViS4mer | Retrieval | TextTower, folder: str | os.PathLike[str]
) -> None:
    """Write `config.json` and `model.safetensors` to a local folder.

    Args:
        model: network with a `config`.
        folder: created if needed; each file is replaced in one step.
    """
    from safetensors.torch import save

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    # A copy of each, since the file holds no tied weights.
    state = {key: tensor.detach().cpu().clone() for key, tensor in model.state_dict().items()}
    config = json.dumps(asdict(model.config), indent=2) + "\n"
    for name, content in ((TENSORS_FILE, save(state)), (CONFIG_FILE, config.encode())):
        # Renamed into place, so that no reader finds half a file.
        part = target / f".{name}.{os.getpid()}"
        part.write_bytes(content)
        part.replace(target / name)


def _safetensors(stored: StoredWeights) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(stored.content))
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise JobError(f"Weights {stored.uri}: a damaged safetensors file: {error}") from error


def _unpickle(stored: StoredWeights) -> object:
    """Unpickle tensors, plain data and a Namespace; refuse anything that would run code."""
    if stored.content.startswith(_ZIP):
        _refuse_inflated(stored, _unpacked_bytes(stored))
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # read, or refused
            return torch.load(io.BytesIO(stored.content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it refers to {found[1]}" if found else "it is damaged, or holds Python objects"
        raise JobError(
            f"Weights {stored.uri} refused: a checkpoint may hold tensors and plain data only, "
            f"and {what}. Nothing in it was run. Convert it to .safetensors where you trust it."
        ) from error
    except Exception as error:  # damaged bytes, unpickled, raise anything
        raise JobError(
            f"Weights {stored.uri}: not a PyTorch checkpoint ({type(error).__name__}: {error})"
        ) from error


def _unpacked_bytes(stored: StoredWeights) -> int:
    """Add up the sizes that a zip archive gives for its entries."""
    try:
        with zipfile.ZipFile(io.BytesIO(stored.content)) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # damaged bytes raise anything
        raise JobError(
            f"Weights {stored.uri}: not a PyTorch checkpoint (a damaged archive: {error})"
        ) from error


def _refuse_inflated(stored: StoredWeights, found_bytes: int) -> None:
    """Refuse a small file that asks for a large memory: torch writes tensors as they are."""
    if found_bytes > _MOST_COPIES * len(stored.content) + (1 << 20):
        raise JobError(
            f"Weights {stored.uri} refused: a file of {len(stored.content):,} bytes that "
            f"unpacks to {found_bytes:,}; a checkpoint holds its tensors as they are"
        )


def _unwrap(uri: str, loaded: object) -> dict[str, Tensor]:
    """Return the state dict inside the wrappers that training scripts put around it."""
    for _ in range(MOST_WRAPPERS):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
            if tensors:
                return tensors
            break
        loaded = inner
    raise JobError(
        f"Weights {uri}: no tensors found. Expected a state dict, bare or under one of "
        f"{', '.join(WRAPPERS)}"
    )


def _strip_prefixes(
    uri: str, state: Mapping[str, Tensor], keep: Collection[str]
) -> dict[str, Tensor]:
    """Return the tensors under the model's own keys, without the prefixes of wrapper modules."""
    stripped: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key
        while name not in keep and (prefix := _prefix(name)):
            name = name.removeprefix(prefix)
        if name in stripped:
            raise JobError(f"Weights {uri}: two tensors are called {name}, one of them {key}")
        stripped[name] = tensor
    return stripped


def _prefix(name: str) -> str | None:
    """Return the wrapper module's prefix of a name, or None."""
    return next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
