"""`.h5`: arrays in groups, as research code stores features of many videos in one file."""

from __future__ import annotations

from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing
from vfeat.importing.sequence_file import ArrayInfo, Reading, check_size, chosen


class Hdf5File:
    """An open HDF5 file; links to other files are not followed."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        try:
            import h5py
        except ImportError:
            raise EnvironmentMissing(
                "files of HDF5 need the package h5py: pip install 'vfeat[import]'"
            ) from None
        self._dataset: type[Any] = h5py.Dataset
        self._file = h5py.File(file, "r")
        self._reading = reading

    def sequences(self) -> dict[str, ArrayInfo]:
        """Return the arrays that are sequences."""
        return {name: self._arrays[path] for name, path in self._paths.items()}

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """Read an array; its size is checked before."""
        path = self._paths[name]
        check_size(self._arrays[path], self._reading)
        return np.asarray(self._file[path][()])

    @cached_property
    def _arrays(self) -> dict[str, ArrayInfo]:
        found: dict[str, ArrayInfo] = {}

        def visit(path: str, node: Any) -> None:
            # an empty dataset has no shape
            if isinstance(node, self._dataset) and node.shape is not None:
                found[path] = ArrayInfo(tuple(node.shape), node.dtype)

        self._file.visititems(visit)
        return found

    @cached_property
    def _paths(self) -> dict[str, str]:
        return chosen(self._arrays, self._reading.array)
