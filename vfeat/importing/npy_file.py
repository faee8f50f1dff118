"""`.npy`: one array, one sequence."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from vfeat.importing.sequence_file import ArrayInfo, Reading, check_size, read_header


class NpyFile:
    """An open `.npy` file."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file = file
        self._reading = reading

    def sequences(self) -> dict[str, ArrayInfo]:
        """Return the one sequence."""
        self._file.seek(0)
        return {"": read_header(self._file)}

    def read(self, name: str) -> npt.NDArray[np.generic]:
        """Read the array."""
        check_size(self.sequences()[name], self._reading)
        self._file.seek(0)
        array: npt.NDArray[np.generic] = np.lib.format.read_array(self._file, allow_pickle=False)
        return array
