"""`.npz`: named arrays in a zip file."""

from __future__ import annotations

import zipfile
from functools import cached_property
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from vfeat.importing.sequence_file import (
    ArrayInfo,
    Reading,
    check_size,
    chosen,
    read_header,
)

_SUFFIX = ".npy"


class NpzFile:
    """An open `.npz` file."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._zip = zipfile.ZipFile(file)
        self._reading = reading

    def sequences(self) -> dict[str, ArrayInfo]:
        """Return the arrays that are sequences."""
        return {name: self._arrays[path] for name, path in self._paths.items()}

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """Read an array; its size is checked by its header, before anything is unpacked."""
        path = self._paths[name]
        check_size(self._arrays[path], self._reading)
        with self._zip.open(path + _SUFFIX) as member:
            array: npt.NDArray[np.generic] = np.lib.format.read_array(member, allow_pickle=False)
        return array

    @cached_property
    def _arrays(self) -> dict[str, ArrayInfo]:
        found = {}
        for member in self._zip.namelist():
            if member.endswith(_SUFFIX):
                with self._zip.open(member) as opened:
                    try:
                        info = read_header(cast(BinaryIO, opened))
                    except ValueError:  # beside the features there may be objects
                        continue
                found[member.removesuffix(_SUFFIX)] = info
        return found

    @cached_property
    def _paths(self) -> dict[str, str]:
        return chosen(self._arrays, self._reading.array)
