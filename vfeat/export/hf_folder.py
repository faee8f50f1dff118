"""A Hugging Face dataset folder: Parquet files and a card."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import yaml

from vfeat.export.parquet_parts import ParquetParts
from vfeat.export.selection import Part, Selection
from vfeat.storage.root import Root
from vfeat.tables.about import read_about
from vfeat.tables.parquet import opened

CARD = "README.md"
_PATTERN = "data/train-{:05d}-of-{:05d}.parquet"
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip


class HuggingFaceFolder:
    """A folder that `datasets.load_dataset(folder)` reads; the arguments of `ParquetParts`."""

    def __init__(self, selection: Selection, root: Root, parts: list[Part]) -> None:
        self._selection = selection
        self._root = root
        self._files = ParquetParts(selection, root, parts, _PATTERN)
        self._first = self._files.key(parts[0])

    def write(self) -> Iterator[int]:
        """Write the files that are not there, then the card; yield the rows done."""
        yield from self._files.write()
        self._root.create_bytes(CARD, self._card().encode())

    def prove(self) -> Iterator[int]:
        """Read the keys of all files back; yield the rows compared so far."""
        yield from self._files.prove()

    def _card(self) -> str:
        about = read_about(self._selection.root)
        with opened(self._root, self._first) as reader:
            schema = reader.schema
        noun = self._selection.kind.noun
        header = {
            "pretty_name": f"Video features made by vfeat ({about['format']})",
            "tags": ["video", "video-features", "vfeat"],
            "size_categories": [_size(self._selection.rows)],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": "train", "path": "data/*.parquet"}],
                }
            ],
        }
        return "\n".join(
            [
                "---", yaml.safe_dump(header, sort_keys=False).rstrip(), "---", "",
                "# Video features", "",
                f"{self._selection.rows:,} rows, one for each {noun}, of "
                f"{len(self._selection):,} videos, sorted by `uri` and "
                f"`{self._selection.kind.index}`. Exported by vfeat from a dataset with the "
                f"fingerprint `{about['fingerprint']}`.", "",
                "```python", "from datasets import load_dataset", "",
                'rows = load_dataset("FOLDER", split="train").with_format("numpy")', "```", "",
                "## Columns", "", *_columns(schema), "",
                "## Recipe", "", "```json", json.dumps(about["recipe"], indent=1), "```", "",
            ]
        )  # fmt: skip


def _columns(schema: pa.Schema) -> Iterator[str]:
    yield "| column | type | content |"
    yield "|---|---|---|"
    for field in schema:
        note = (field.metadata or {}).get(b"description", b"").decode().replace("|", "\\|")
        yield f"| `{field.name}` | {field.type} | {note} |"


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "n>1B")
