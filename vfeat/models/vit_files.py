"""Files of a checkpoint of the transformers library, in a folder or on the hub; without torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.models.weights import CONFIG_FILE, READ_BYTES, TENSORS_FILE, parse_config

HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
# Files that the library loads, in its order of preference; an index lists parts of large weights.
TENSOR_FILES = (
    TENSORS_FILE,
    f"{TENSORS_FILE}.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class VitFiles:
    """The files of one checkpoint.

    Attributes:
        name: as the user gave it, for messages.
        source: argument of `from_pretrained`: an absolute folder, or owner/repo.
        revision: the commit on the hub; None for a folder.
        names: names of the files that exist.
        hashes: (file, SHA-256) of those whose hash the hub provides.
        fetch: returns the local path of a file; downloads it from the hub if needed.
    """

    name: str
    source: str
    revision: str | None
    names: frozenset[str]
    hashes: tuple[tuple[str, str], ...]
    fetch: Callable[[str], str]

    @property
    def pinned(self) -> str:
        """The source with its commit, so that every worker loads what was planned with."""
        return self.source if self.revision is None else f"{self.source}@{self.revision}"

    def read(self, file: str) -> dict[str, Any]:
        """Read the object in a JSON file."""
        path = self._path(file)
        with open(path, "rb") as opened:
            return parse_config(path, opened.read())

    def config(self) -> dict[str, Any]:
        """Read `config.json`."""
        return self.read(CONFIG_FILE)

    def preprocessor(self) -> dict[str, Any]:
        """Read the preparation of pixels in training.

        Raises:
            EnvironmentMissing: the checkpoint has no preprocessor file.
        """
        for file in PREPROCESSOR_FILES:
            if file in self.names:
                found = self.read(file)
                inner = found.get("image_processor", found)
                return inner if isinstance(inner, dict) else found
        raise EnvironmentMissing(
            f"vit:{self.name} has no {PREPROCESSOR_FILES[0]}, which holds the mean, the standard "
            "deviation and the size of its pictures; put the one it was trained with beside it"
        )

    def tensors(self) -> tuple[str, ...]:
        """List the files with the weights, an index first.

        Raises:
            EnvironmentMissing: there are none.
        """
        for file in TENSOR_FILES:
            if file in self.names:
                parts = self._parts(file) if file.endswith(".index.json") else []
                return (file, *parts)
        raise EnvironmentMissing(
            f"vit:{self.name} has no weights: expected {TENSORS_FILE} or pytorch_model.bin"
        )

    def digest(self) -> str:
        """Hash configuration and weights, `sha256:<hex>`; the same for a folder and the hub."""
        total = hashlib.sha256()
        for file in (CONFIG_FILE, *self.tensors()):
            total.update(f"{file} {self._sha256(file)}\n".encode())
        return f"sha256:{total.hexdigest()}"

    def _parts(self, index: str) -> list[str]:
        parts = self.read(index).get("weight_map")
        if not isinstance(parts, dict) or not parts:
            raise JobError(f"vit:{self.name}: {index} names no files of weights")
        return sorted({str(part) for part in parts.values()})

    def _sha256(self, file: str) -> str:
        known = dict(self.hashes).get(file)
        if known is not None:
            return known
        with open(self._path(file), "rb") as opened:
            digest = hashlib.sha256()
            while block := opened.read(READ_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def _path(self, file: str) -> str:
        if file not in self.names:
            raise EnvironmentMissing(f"vit:{self.name} has no file {file}")
        return self.fetch(file)


def find_vit(name: str) -> VitFiles:
    """Find the files of `vit:<name>`: a folder that exists, or a repository of the hub.

    Raises:
        EnvironmentMissing: neither exists, the hub cannot be reached, or huggingface_hub is
            missing.
    """
    folder = os.path.abspath(os.path.expanduser(name))
    if os.path.isdir(folder):
        return _in_folder(name, folder)
    if not HUB_NAME.fullmatch(name):
        raise EnvironmentMissing(
            f"vit:{name}: there is no folder {name!r}, and it is no name on the Hugging Face hub "
            "(owner/repo or owner/repo@revision)"
        )
    return _on_hub(name)


def _in_folder(name: str, folder: str) -> VitFiles:
    names = frozenset(entry.name for entry in os.scandir(folder) if entry.is_file())
    return VitFiles(name, folder, None, names, (), lambda file: os.path.join(folder, file))


@lru_cache(maxsize=8)  # planning asks several times; a command asks the hub once
def _on_hub(name: str) -> VitFiles:
    """List a repository's files from the hub, or from its local cache."""
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError as error:
        raise EnvironmentMissing(
            f"vit:{name} is no local folder, and to look on the hub the package huggingface_hub "
            "is missing. Run: pip install 'vfeat[vit]'"
        ) from error
    repo, _, revision = name.partition("@")
    try:
        info = HfApi().model_info(repo, revision=revision or None, files_metadata=True, timeout=30)
    except Exception as error:  # HTTP, offline and validation errors have no common root
        return _in_cache(name, error)
    files = info.siblings or []
    hashes = tuple((file.rfilename, file.lfs.sha256) for file in files if file.lfs)

    def fetch(file: str) -> str:
        try:
            return str(hf_hub_download(repo, file, revision=info.sha))
        except Exception as error:  # as above
            raise _unreachable(name, error) from error

    names = frozenset(file.rfilename for file in files)
    return VitFiles(name, repo, info.sha, names, hashes, fetch)


def _in_cache(name: str, problem: Exception) -> VitFiles:
    """Use a snapshot that was downloaded before, if the hub does not answer."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        folder = snapshot_download(repo, revision=revision or None, local_files_only=True)
    except Exception as error:  # there is none
        raise _unreachable(name, problem) from error
    return _in_folder(name, str(folder))


def _unreachable(name: str, error: Exception) -> EnvironmentMissing:
    reason = " ".join(str(error).split())[:200]
    return EnvironmentMissing(
        f"vit:{name} is no local folder and could not be had from the Hugging Face hub "
        f"({type(error).__name__}: {reason}). Download it where there is a network, and give "
        "its folder instead: vit:FOLDER"
    )
