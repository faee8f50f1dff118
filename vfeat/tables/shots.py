"""`shots.parquet`: the shots of all videos, gathered from the footers of the committed files.

The grid that a child has laid commits with its rows, in the footer of the same file; losing this
table loses nothing. Each time it is written, only files that are newer than it are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.job.recipe import ClipSpec
from vfeat.media.shots.grid import ShotGrid
from vfeat.outcome import Outcome
from vfeat.storage.failures import MissingObject
from vfeat.storage.root import Root
from vfeat.storage.temporary import TemporaryFolder
from vfeat.tables import layout
from vfeat.tables.about import read_recipe
from vfeat.tables.committed import committed_shards, read_footers
from vfeat.tables.kind import FEATURES, kind_of
from vfeat.tables.parquet import opened

SHOTS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("shot_index", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("first_clip", pa.int64(), nullable=False),
        pa.field("last_clip", pa.int64(), nullable=False),
    ]
)
SHOT_NOTES = {
    "video_id": "as in the features",
    "uri": "as in the features",
    "shot_index": "number of the shot in its video, from 0",
    "start_s": "start of the shot, seconds after the first presented frame",
    "end_s": "its end, seconds: the start of the next shot, or the end of the video",
    "first_clip": "clip_index of its first clip",
    "last_clip": "clip_index of its last clip, inclusive; some of the clips may have failed",
}
_SHARDS = b"vfeat.shards"  # files that the table stands for
_BATCH_ROWS = 100_000


def publish_shots(root: Root, clip: ClipSpec, *, anew: bool = False) -> int:
    """Replace the table by one that stands for all committed files.

    Args:
        clip: the recipe's clip grid, which lays clips on shots.
        anew: read all files, and not only those that are newer than the table.

    Returns:
        Number of files that were read.
    """
    committed = committed_shards(root)
    known = set() if anew else _known(root)
    if not known <= committed:  # some were deleted, to be redone
        known = set()
    fresh = committed - known
    with TemporaryFolder("shots") as folder:
        path = os.path.join(folder, layout.SHOTS)
        with pq.ParquetWriter(path, SHOTS, compression="zstd") as writer:
            replaced: set[str] = set()
            for table in _gathered(root, fresh, clip, replaced):
                writer.write_table(table)
            if known:
                for table in _kept(root, replaced):
                    writer.write_table(table)
            names = json.dumps(layout.in_order(committed)).encode()
            writer.add_key_value_metadata({_SHARDS: names})
        root.replace_file(layout.SHOTS, path)
    return len(fresh)


def rebuild_shots(root: Root) -> None:
    """Make the table anew, if the dataset's clips are laid on shots."""
    if kind_of(root).format == FEATURES.format:
        clip = read_recipe(root).clip
        if clip.sampling == "shots":
            publish_shots(root, clip, anew=True)


def _known(root: Root) -> set[str]:
    """Return the files that the published table stands for; none where it cannot be read."""
    try:
        with opened(root, layout.SHOTS) as reader:
            return set(json.loads((reader.metadata.metadata or {})[_SHARDS]))
    except (MissingObject, OSError, ValueError, KeyError):
        return set()


def _gathered(root: Root, shards: set[str], clip: ClipSpec, seen: set[str]) -> Iterator[pa.Table]:
    """Yield the shots of the videos that some files opened; `seen` takes their ids."""
    rows: list[dict[str, object]] = []
    for _, footer in read_footers(root, shards):
        for outcome in footer.outcomes:
            if outcome.probe is not None and outcome.video_id not in seen:
                seen.add(outcome.video_id)
                rows += _rows(outcome, clip)
        if len(rows) >= _BATCH_ROWS:
            yield pa.Table.from_pylist(rows, SHOTS)
            rows = []
    yield pa.Table.from_pylist(rows, SHOTS)


def _rows(outcome: Outcome, clip: ClipSpec) -> Iterator[dict[str, object]]:
    assert outcome.probe is not None
    grid = ShotGrid(clip, outcome.probe.timeline)
    for shot in map(grid.shot, range(grid.n_shots)):
        yield {
            "video_id": outcome.video_id,
            "uri": outcome.uri,
            "shot_index": shot.index,
            "start_s": float(shot.start_s),
            "end_s": float(shot.end_s),
            "first_clip": shot.first_clip,
            "last_clip": shot.last_clip,
        }


def _kept(root: Root, replaced: set[str]) -> Iterator[pa.Table]:
    """Yield the rows of the published table, but for videos that were opened again."""
    ids = pa.array(sorted(replaced), pa.string())
    with opened(root, layout.SHOTS) as reader:
        for batch in reader.batches(_BATCH_ROWS, SHOTS.names):
            table = pa.Table.from_batches([batch]).cast(SHOTS)
            yield table.filter(pc.invert(pc.is_in(table.column("video_id"), ids)))
