"""Number of classes of a checkpoint's head, read without torch and without executing anything.

Planning needs it: a head of another size than the model's is replaced by an untrained one, and its
labels would have names without meaning.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

from vfeat.models.weights import MOST_WRAPPERS, PREFIXES, WRAPPERS, open_tensors

HEAD = "head.weight"
LARGEST_INDEX = 64 << 20  # bytes of names and shapes; 100,000 tensors take a tenth of it


def head_classes(uri: str) -> int | None:
    """Read the number of outputs K of the classification head in a checkpoint.

    Args:
        uri: location of the weights; see `vfeat.models.weights`.

    Returns:
        K; None if there is no head, or if the file is no zip (torch before 1.6) and cannot be read
        without torch.

    Raises:
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    with open_tensors(uri) as file:
        # By content: a safetensors header begins with its length and a brace.
        shapes = _safetensors(file) if file.read(9)[8:] == b"{" else _zipped(file)
    found = {shape for name, shape in shapes.items() if _bare(name) == HEAD and len(shape) == 2}
    return found.pop()[0] if len(found) == 1 else None


def _dimensions(found: Any) -> tuple[int, ...]:
    """Return a shape; one that is none is empty."""
    is_shape = isinstance(found, list) and all(isinstance(size, int) for size in found)
    return tuple(found) if is_shape else ()


def _safetensors(file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Read names and shapes from the header: a length of 8 bytes, then JSON."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_INDEX:
        return {}
    try:
        header = json.loads(file.read(length))
        return {k: _dimensions(v["shape"]) for k, v in header.items() if k != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # damaged: loading the weights reports it


def _zipped(file: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Read names and shapes from a file that `torch.save` wrote."""
    try:
        with zipfile.ZipFile(file) as archive:
            [entry] = [e for e in archive.infolist() if e.filename.endswith("/data.pkl")]
            if entry.file_size > LARGEST_INDEX:
                return {}
            with archive.open(entry) as index:
                loaded = _ShapeUnpickler(index).load()
    except Exception:  # a damaged file raises anything: loading the weights reports it
        return {}
    for _ in range(MOST_WRAPPERS):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            return {str(k): v for k, v in loaded.items() if _is_shape(v)}
        loaded = inner
    return {}


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(length, int) for length in value)


def _bare(name: str) -> str:
    """Return a tensor's name without the prefixes of wrapper modules."""
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    return name


class _Placeholder:
    """Placeholder for every class and function that a pickle names; ignores all arguments."""

    def __new__(cls, *_: Any, **__: Any) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _shape(storage: Any, offset: Any, size: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    """Return a tensor's shape; stands in for the function that rebuilds the tensor."""
    return size


def _first(value: Any, *_: Any) -> Any:
    """Return the first argument; stands in for the function that makes a parameter."""
    return value


class _ShapeUnpickler(pickle.Unpickler):
    """Unpickler of a state dict that puts shapes in place of tensors and imports nothing."""

    KNOWN: Mapping[str, Any] = {
        "_rebuild_tensor_v2": _shape,
        "_rebuild_parameter": _first,
        "OrderedDict": OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self.KNOWN.get(name, _Placeholder)

    def persistent_load(self, pid: Any) -> None:
        """Skip the storages: only shapes are read."""
        return
