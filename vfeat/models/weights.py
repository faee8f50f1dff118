"""Sources of weights, as bytes and as a digest; without torch.

    random                     a fixed seed: the same weights in every run
    PATH or any fsspec URI     an official .pth, a bare .safetensors, or a vfeat model folder
    hf://owner/repo/file       a file of the Hugging Face hub (owner/repo@revision too)
    box:NAME                   a model folder in the package, see `vfeat.models.packaged`

A vfeat model folder holds `config.json` and `model.safetensors`, and perhaps `labels.json` (names
of the classes, in order) and `train.json` (the clips and frames it was trained on).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from vfeat.addresses import public
from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models.packaged import open_box
from vfeat.storage import MissingObject, is_local, open_source
from vfeat.storage.uris import local_path

RANDOM = "random"
RANDOM_SEED = 0
CONFIG_FILE = "config.json"
TENSORS_FILE = "model.safetensors"
LABELS_FILE = "labels.json"
TRAIN_FILE = "train.json"
HUB = "hf://"
READ_BYTES = 1 << 20
# Wrappers that training scripts put around a state dict, and prefixes before its names.
WRAPPERS = ("model", "module", "state_dict")
MOST_WRAPPERS = 10  # one in another; a damaged file may hold itself
PREFIXES = ("module.", "backbone.", "encoder.")


@dataclass(frozen=True)
class StoredWeights:
    """The files at a weights URI, read whole.

    Attributes:
        uri: as the user gave it, for messages.
        content: content of the tensors' file.
        config: `config.json` of a vfeat model folder; None for a single file.
    """

    uri: str
    content: bytes
    config: dict[str, Any] | None

    @property
    def is_safetensors(self) -> bool:
        """True if the content is safetensors: a length, then JSON; the suffix may be wrong."""
        return self.content[8:9] == b"{"


def weights_digest(uri: str) -> str:
    """Return what identifies the weights in a recipe: `sha256:<hex>` or `random:<seed>`.

    Raises:
        EnvironmentMissing: the weights do not exist, or the hub cannot be reached.
        StorageError: the weights cannot be read.
    """
    if uri == RANDOM:
        return f"{RANDOM}:{RANDOM_SEED}"
    digest = hashlib.sha256()
    for path in _files(uri):
        with _open(uri, path) as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def read_weights(uri: str) -> StoredWeights:
    """Read everything at a URI; raises as `weights_digest`."""
    *configs, tensors = _files(uri)
    config = None
    for path in configs:
        with _open(uri, path) as file:
            config = parse_config(path, file.read())
    with _open(uri, tensors) as file:
        return StoredWeights(uri, file.read(), config)


@contextmanager
def open_tensors(uri: str) -> Iterator[BinaryIO]:
    """Open the file of the tensors for seeking; raises as `weights_digest`."""
    with _open(uri, _files(uri)[-1]) as file:
        yield file


def find_weights(uri: str | None) -> None:
    """Check that the weights exist before long work begins; a hub is not queried yet.

    Args:
        uri: None and `random` need no file.

    Raises:
        EnvironmentMissing, StorageError, JobError: as `weights_digest`.
    """
    if uri not in (None, RANDOM) and not uri.startswith(HUB):
        with open_tensors(uri) as file:
            file.read(1)


def parse_config(path: str, content: bytes) -> dict[str, Any]:
    """Parse the JSON object in a `config.json`.

    Args:
        path: for messages.
        content: the file's bytes.

    Raises:
        JobError: not JSON, or not an object.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise JobError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise JobError(f"{path} holds a {type(config).__name__}, not an object of options")
    return config


def _files(uri: str) -> list[str]:
    """List the files that make up the weights, the tensors last."""
    if uri.startswith(HUB):
        return [_from_hub(uri)]
    place = open_box(uri)
    if not _is_folder(place):
        return [place]
    folder = place.rstrip("/")
    return [f"{folder}/{CONFIG_FILE}", f"{folder}/{TENSORS_FILE}"]


def _is_folder(uri: str) -> bool:
    """Return whether it is a local folder, or a remote prefix without suffix that holds a model."""
    if is_local(uri):
        return os.path.isdir(local_path(uri))
    if "." in public(uri).rstrip("/").rpartition("/")[2]:
        return False
    try:
        with open_source(f"{uri.rstrip('/')}/{CONFIG_FILE}") as file:
            return bool(file.read(1))
    except MissingObject:
        return False


@contextmanager
def _open(uri: str, path: str) -> Iterator[BinaryIO]:
    """Open a file of the weights; report a missing one with the URI that the user gave."""
    try:
        with open_source(path) as file:
            yield file
    except MissingObject as error:
        raise EnvironmentMissing(
            f"Weights {uri}: there is no file {path}. Give the path of a checkpoint, a folder "
            f"with {CONFIG_FILE} and {TENSORS_FILE}, {HUB}owner/repo/file, or {RANDOM!r}."
        ) from error


def _from_hub(uri: str) -> str:
    """Download a file of the hub, or find it in its cache; return the local path."""
    parts = uri.removeprefix(HUB).split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise JobError(f"Weights {uri}: expected {HUB}owner/repo/file")
    owner, repo, filename = parts
    repo, _, revision = repo.partition("@")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise EnvironmentMissing(
            f"Weights {uri}: the package huggingface_hub is not installed. "
            "Run: pip install 'vfeat[hub]'"
        ) from error
    try:
        return str(hf_hub_download(f"{owner}/{repo}", filename, revision=revision or None))
    except Exception as error:  # HTTP, cache and validation errors have no common root
        raise EnvironmentMissing(
            f"Weights {uri} could not be downloaded ({type(error).__name__}: {error}). Download "
            "the file where there is a network, and give its path instead."
        ) from error


def stored_config(uri: str) -> dict[str, Any] | None:
    """Read the `config.json` of a vfeat model folder; None for anything else."""
    if uri == RANDOM or uri.startswith(HUB):
        return None
    *configs, _ = _files(uri)
    for path in configs:
        with _open(uri, path) as file:
            return parse_config(path, file.read())
    return None


def read_beside(uri: str, name: str) -> bytes | None:
    """Read a further file of a vfeat model folder.

    Args:
        uri: location of the weights.
        name: name of the file, for example `labels.json`.

    Returns:
        Its content; None if the folder has none, and for anything that is no such folder.
    """
    if uri == RANDOM or uri.startswith(HUB):
        return None
    folder = open_box(uri)
    if not _is_folder(folder):
        return None
    try:
        with open_source(f"{folder.rstrip('/')}/{name}") as file:
            return file.read()
    except MissingObject:
        return None
