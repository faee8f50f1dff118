"""How many classes a checkpoint's head tells apart; without torch, and running nothing.

A plan must know it: a head of another size than the model's would be replaced by an untrained
one, and labels from it would have names and mean nothing.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

from vfeat.models.weights import PREFIXES, WRAPPERS, open_tensors

HEAD = "head.weight"
LARGEST_INDEX = 64 << 20  # bytes of names and shapes; 100,000 tensors take a tenth of it


def head_classes(uri: str) -> int | None:
    """Outputs K of the classification head in a checkpoint.

    Returns:
        None where there is no head, or where it is in no zip (torch before 1.6) and cannot be
        read without torch.

    Raises:
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    with open_tensors(uri) as file:
        shapes = _safetensors(file) if file.read(9)[8:] == b"{" else _zipped(file)
    found = {shape for name, shape in shapes.items() if _bare(name) == HEAD and len(shape) == 2}
    return found.pop()[0] if len(found) == 1 else None


def _safetensors(file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the header: a length of 8 bytes, then JSON."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_INDEX:
        return {}
    try:
        header = json.loads(file.read(length))
        return {k: tuple(v["shape"]) for k, v in header.items() if k != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # damaged: whoever loads the weights says so


def _zipped(file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what `torch.save` wrote."""
    try:
        with zipfile.ZipFile(file) as archive:
            [entry] = [e for e in archive.infolist() if e.filename.endswith("/data.pkl")]
            if entry.file_size > LARGEST_INDEX:
                return {}
            with archive.open(entry) as index:
                loaded = _Shapes(index).load()
    except Exception:  # a damaged file raises anything: whoever loads the weights says so
        return {}
    while isinstance(loaded, Mapping):
        inner = next((loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            return {str(k): v for k, v in loaded.items() if _is_shape(v)}
        loaded = inner
    return {}


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(length, int) for length in value)


def _bare(name: str) -> str:
    """A tensor's name without those of wrapper modules."""
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    return name


class _Nothing:
    """Stands for every class and function that a pickle names; does nothing with anything."""

    def __new__(cls, *_: Any, **__: Any) -> _Nothing:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _shape(storage: Any, offset: Any, size: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    """In place of the function that rebuilds a tensor."""
    return size


def _first(value: Any, *_: Any) -> Any:
    """In place of the function that makes a parameter of a tensor."""
    return value


class _Shapes(pickle.Unpickler):
    """Reads a state dict with shapes for tensors. No name in the file is ever looked up."""

    KNOWN: Mapping[str, Any] = {
        "_rebuild_tensor_v2": _shape,
        "_rebuild_parameter": _first,
        "OrderedDict": OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self.KNOWN.get(name, _Nothing)

    def persistent_load(self, pid: Any) -> None:
        """Storages stay where they are."""
        return
