"""A few large Parquet files, sorted by uri, video and clip."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vfeat.export.proof import KeyProof
from vfeat.export.row_source import RowSource
from vfeat.export.selection import Part, Selection
from vfeat.storage.root import Root
from vfeat.storage.temporary import temporary_file
from vfeat.tables.about import read_about
from vfeat.tables.footer import RECIPE_KEY
from vfeat.tables.parquet import opened, reading
from vfeat.tables.streamed_file import StreamedFile

_PROOF_ROWS = 65_536


class ParquetParts:
    """The parts of an export as Parquet files.

    Args:
        selection: what is exported.
        root: where to.
        parts: how it is cut.
        pattern: key of a part, with its number and the number of parts.
    """

    def __init__(
        self,
        selection: Selection,
        root: Root,
        parts: list[Part],
        pattern: str = "part-{:05d}-of-{:05d}.parquet",
    ) -> None:
        self._selection = selection
        self._root = root
        self._parts = parts
        self._pattern = pattern
        self._source = RowSource(selection)

    def key(self, part: Part) -> str:
        """Return the key of a part's file."""
        return self._pattern.format(part.number, len(self._parts))

    def write(self) -> Iterator[int]:
        """Write the parts that are not there; yield the rows done, as they grow.

        A part is finished in a local temporary place and published in one step.
        """
        folder = self._pattern.rpartition("/")[0]
        present = set(self._root.list(folder))
        recipe = json.dumps(read_about(self._selection.root)["recipe"]).encode()
        schema = self._source.schema.with_metadata({RECIPE_KEY: recipe})
        done = 0
        for part in self._parts:
            key = self.key(part)
            if key.rpartition("/")[2] in present:
                done += part.rows
                yield done
                continue
            with temporary_file("export", ".parquet") as path:
                with StreamedFile(path, schema) as file:
                    videos = self._selection.videos(part.first, part.videos)
                    for table in self._source.batches(videos):
                        file.write(table.cast(schema))
                        done += len(table)
                        yield done
                self._root.create_file(key, path)

    def prove(self) -> Iterator[int]:
        """Read the keys of all parts back and compare them; yield the rows compared so far."""
        index, done = self._selection.kind.index, 0
        for part in self._parts:
            key = self.key(part)
            where = self._root.url(key)
            remedy = "delete this file and run the same command again"
            videos = self._selection.videos(part.first, part.videos)
            proof = KeyProof(videos, index, where, remedy)
            with reading(self._root, key), opened(self._root, key, checked=True) as reader:
                for batch in reader.batches(_PROOF_ROWS, ["video_id", index]):
                    proof.add(batch)
                    yield done + proof.rows
            proof.close()
            done += part.rows
