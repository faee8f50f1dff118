"""Corpora joined to earlier ones: all training clips in one clip list and one flow table.

Clips that an earlier corpus held out stay out: a clip that validated one training is not part of
the next.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recipes.camera_motion.synthetic.corpus import FLOW_FILE, LIST_FILE, write_flow, write_list
from vfeat.errors import JobError

JOINED_LIST_FILE = "joined.csv"
JOINED_FLOW_FILE = "joined-flow.parquet"


def check_earlier(folder: str | os.PathLike[str], earlier: Sequence[str]) -> None:
    """Refuse folders that `write_joined` could not join.

    Raises:
        JobError: one of them is not a corpus, or named twice.
    """
    places = [Path(name).resolve() for name in (folder, *earlier)]
    twice = [str(place) for number, place in enumerate(places) if place in places[:number]]
    if twice:
        raise JobError(f"earlier: {', '.join(twice)} is named twice")
    for name in earlier:
        if not all((Path(name) / file).exists() for file in (LIST_FILE, FLOW_FILE)):
            raise JobError(
                f"earlier: {name} is not a folder of generated clips, which would have "
                f"{LIST_FILE} and {FLOW_FILE} in it. Make that corpus first"
            )


def write_joined(folder: str | os.PathLike[str], earlier: Sequence[str]) -> str:
    """Write both files anew into `folder`, a corpus; return the path of the list.

    Args:
        earlier: folders of corpora that `check_earlier` has accepted.
    """
    root = Path(folder)
    rows, flow = _rows(root), [pq.read_table(root / FLOW_FILE)]
    for name in earlier:
        beside = _beside(root, name)
        learnt = [row for row in _rows(Path(name)) if row[2] == "train"]
        rows += [(f"{beside}/{uri}", label, split) for uri, label, split in learnt]
        flow.append(_below(beside, pq.read_table(Path(name) / FLOW_FILE)))
    write_flow(root / JOINED_FLOW_FILE, pa.concat_tables(flow))
    return write_list(root / JOINED_LIST_FILE, rows)


def _beside(root: Path, earlier: str) -> str:
    """Return an earlier folder relative to this one, so that both may move together."""
    return os.path.relpath(Path(earlier).resolve(), root.resolve())


def _rows(root: Path) -> list[tuple[str, str, str]]:
    """Read URI, label and split of a corpus's clips."""
    with (root / LIST_FILE).open(newline="") as file:
        return [(row["uri"], row["label"], row["split"]) for row in csv.DictReader(file)]


def _below(beside: str, flow: pa.Table) -> pa.Table:
    """Rename the rows of an earlier flow table; URIs are looked up by their last parts."""
    prefix = "/".join(part for part in beside.split("/") if part != "..")
    names = [f"{prefix}/{name}" for name in flow["uri"].to_pylist()]
    return flow.set_column(flow.schema.get_field_index("uri"), "uri", pa.array(names))
