"""An export from end to end: begun or resumed, written, and proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from vfeat.export.destination import Destination
from vfeat.export.hf_folder import HuggingFaceFolder
from vfeat.export.lance_table import LanceTable
from vfeat.export.npy_files import NpyFiles
from vfeat.export.parquet_parts import ParquetParts
from vfeat.export.selection import Selection
from vfeat.storage.temporary import sweep_temporary_folder
from vfeat.tables.about import read_about
from vfeat.tables.opened_root import dataset_root

Format = Literal["parquet", "npy", "lance", "hf"]
PART_MEGABYTES = 512


class Writer(Protocol):
    """One format: writes what is missing, then reads it back."""

    def write(self) -> Iterator[int]:
        """Write what is not there; yield the rows done so far."""
        ...

    def prove(self) -> Iterator[int]:
        """Compare what is there with the dataset; yield the rows compared so far."""
        ...


@dataclass(frozen=True)
class ExportSteps:
    """Progress of an export.

    Attributes:
        phase: writing or proving.
        rows: done so far in this phase.
    """

    phase: Literal["writing", "proving"]
    rows: int


class Export:
    """One export; nothing is written before `run`.

    Args:
        out: dataset root.
        to: where to: empty, or begun by the same export.
        format: of the files.
        column: vectors of `.npy` files.
        part_megabytes: size of a part, about, before it is compressed anew.

    Attributes:
        selection: the rows.
        resumed: an earlier attempt began it.

    Raises:
        JobError: no dataset or no rows at `out`, something else at `to`, or a format that cannot
            hold these rows.
        EnvironmentMissing: the format's package is not installed.
    """

    def __init__(
        self,
        out: str,
        to: str,
        format: Format,
        column: str = "embedding",
        part_megabytes: int = PART_MEGABYTES,
    ) -> None:
        root = dataset_root(out)
        self.selection = Selection(root)
        self.format = format
        self.destination = Destination(to)
        row_bytes = max(1, self.selection.file_bytes // self.selection.rows)
        about = {
            "format": format,
            "column": column if format == "npy" else None,
            "dataset": root.uri,
            "fingerprint": read_about(root)["fingerprint"],
            "selection": self.selection.digest,
            "rows": self.selection.rows,
            "videos": len(self.selection),
            "part_rows": max(1, (part_megabytes << 20) // row_bytes),
        }
        found = self.destination.begun(about)
        self.resumed = found is not None
        self._about = found or about
        self.parts = self.selection.parts(self._about["part_rows"])
        self._column = column
        self._writer = self._make_writer()

    @property
    def files(self) -> int:
        """Number of files with rows; of a Lance table, its commits."""
        return 2 * len(self.selection) if self.format == "npy" else len(self.parts)

    def run(self) -> Iterator[ExportSteps]:
        """Write what is missing, and prove that every row is there.

        It ends without an error only if the proof holds.

        Raises:
            StorageError: what was read back is not what the dataset holds.
        """
        sweep_temporary_folder()
        self.destination.root.sweep()
        self.destination.begin(self._about)
        for rows in self._writer.write():
            yield ExportSteps("writing", rows)
        rows = 0
        for rows in self._writer.prove():
            yield ExportSteps("proving", rows)
        self.destination.end({"rows": rows, "videos": len(self.selection), "proven": True})

    def _make_writer(self) -> Writer:
        root = self.destination.root
        if self.format == "npy":
            return NpyFiles(self.selection, root, self._column)
        if self.format == "lance":
            return LanceTable(self.selection, root, self.parts)
        if self.format == "hf":
            return HuggingFaceFolder(self.selection, root, self.parts)
        return ParquetParts(self.selection, root, self.parts)
