"""Generated inputs of `benchmarks/scale.py`: lists of videos, and datasets of millions of them.

Plans come from the real planner, the index from the real writer of segments. A committed file is
empty where the index stands for it, since nobody opens it; where files are read they are real.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vfeat.corpus.ids import hex_ids, raw_ids
from vfeat.engine.watch import Watch
from vfeat.extract.run import ExtractRun
from vfeat.job.spec import parse_extract
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.etags import local_etag_of
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.catalogue import read_catalogue
from vfeat.tables.features import features_table, write_features
from vfeat.tables.index_rows import OPEN_ERRORS, RANGES, rows_schema, untouched
from vfeat.tables.kind import FEATURES
from vfeat.tables.notes import _GROUPS, _SCHEMA
from vfeat.tables.plans import leases, plan_list, read_plan
from vfeat.tables.publish import publish_file
from vfeat.tables.schema import PIECES
from vfeat.tables.segments import SegmentWriter, create_segment
from vfeat.tables.sorted_ids import id_array
from vfeat.video_facts import Probe, Timeline

LIST_ROWS = 100_000  # of a row group
SHARES = (0.9, 0.09, 0.01)  # of the groups in each segment, as merging leaves them
FAILED_EVERY = 100  # a video in so many has a failed clip


def job_of(source: str, out: str, **fields: object) -> ExtractRun:
    """Return a run with the smallest model; a hundred videos of the lists make a shard."""
    job = parse_extract(
        {
            "model": "videomamba", "model_options": {"embed_dim": 16, "depth": 1},
            "weights": "random", "size": 32, "num_frames": 4, "clip_seconds": 1.0,
            "executor": "inline", "device": "cpu", "sources": [source], "out": out, **fields,
        }
    )  # fmt: skip
    return ExtractRun(job, Watch())


def write_list(path: Path, videos: int, changed: int = 0) -> None:
    """Write a Parquet list of S3 objects with sizes and etags.

    Args:
        changed: so many, evenly spread, have another etag than in a list without.
    """
    partial = path.with_suffix(".partial")
    schema = pa.schema([("uri", pa.string()), ("size_bytes", pa.int64()), ("etag", pa.string())])
    step = videos // changed if changed else 0
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for start in range(0, videos, LIST_ROWS):
            numbers = np.arange(start, min(start + LIST_ROWS, videos), dtype=np.int64)
            etags = np.stack([numbers * 2654435761, numbers ^ 0x5DEECE66D], 1)
            if step:
                etags[(numbers % step == 0) & (numbers < step * changed), 1] += 1
            names = pa.array(numbers).cast(pa.string())
            folders = pa.array(numbers // 10_000).cast(pa.string())
            columns = [
                pc.binary_join_element_wise(
                    "s3://archive/", folders, "/video-", pc.utf8_lpad(names, 9, "0"), ".mp4", ""
                ),
                pa.array(1_500_000 + numbers * 7919 % 2_000_001),
                hex_ids(np.frombuffer(etags.tobytes(), "S16")),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    partial.rename(path)


def write_names(path: Path, folder: Path, clip: Path, videos: int) -> None:
    """Write a list of local names as if each were a link to one small video."""
    folder.mkdir(exist_ok=True)
    shutil.copy2(clip, folder / "clip")
    status = (folder / "clip").stat()
    schema = pa.schema([("uri", pa.string()), ("size_bytes", pa.int64()), ("etag", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, videos, LIST_ROWS):
            numbers = pa.array(np.arange(start, min(start + LIST_ROWS, videos))).cast(pa.string())
            columns = [
                pc.binary_join_element_wise(f"{folder}/", numbers, clip.suffix, ""),
                pa.repeat(pa.scalar(status.st_size), len(numbers)),
                pa.repeat(pa.scalar(local_etag_of(status)), len(numbers)),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def link(folder: Path, names: Sequence[str]) -> None:
    """Make some of these names links to the video."""
    for name in names:
        Path(name).unlink(missing_ok=True)
        Path(name).hardlink_to(folder / "clip")


def write_local_list(path: Path, clip: Path, folder: Path, videos: int, changed: int = 0) -> None:
    """Write a list of hard links to one small video, below a folder.

    Args:
        changed: so many of the first ones are links to a copy of it, another object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, other = folder / "clip", folder / "changed"
    if not first.exists():
        shutil.copy(clip, first)
        shutil.copy(clip, other)
        os.utime(other, (1e9, 1e9))
    uris, sizes, etags = [], [], []
    for number in range(videos):
        link = folder / f"{number:07d}{clip.suffix}"
        link.unlink(missing_ok=True)
        link.hardlink_to(other if number < changed else first)
        uris.append(str(link))
        status = link.stat()
        sizes.append(status.st_size)
        etags.append(local_etag_of(status))
    pq.write_table(pa.table({"uri": uris, "size_bytes": sizes, "etag": etags}), path)


def plan_all(run: ExtractRun) -> list[str]:
    """Plan what is new."""
    run.check()
    return list(run.plan())


def plan_more(run: ExtractRun, videos: int) -> None:
    """Plan so many videos that no other list names, whatever the run's own sources are."""
    path = Path(run.root.uri) / "more.parquet"
    write_list(path, videos, videos)
    more = job_of(str(path), run.root.uri)
    assert len(plan_all(more)) == 1
    path.unlink()


def clone(source: Path, target: Path) -> Path:
    """Make a copy of a dataset by hard links; its files are never changed in place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=os.link)
    return target


def touch_shards(root: Root, part: int = 1) -> list[str]:
    """Create an empty file for every shard, or every so many; return their names."""
    made = []
    folder = Path(root.uri) / layout.FEATURES
    folder.mkdir(exist_ok=True)
    for plan in plan_list(root):
        for number in read_plan(root, plan, ["shard"]).column("shard").unique().to_pylist():
            if number % part == 0:
                made.append(layout.shard_name(plan, number))
                (folder / f"{made[-1]}.parquet").touch()
    return made


def cover(root: Root) -> None:
    """Let the index stand for all groups; every hundredth video has a failed clip."""
    groups = read_catalogue(root, ignore_segments=True).groups
    counts = [max(1, round(len(groups) * share)) for share in SHARES]
    numbers = iter(sorted(groups))
    schema = rows_schema({})
    for place, count in enumerate(counts):
        catalogue = read_catalogue(root)
        path = Path(root.uri) / "segment.local"
        writer = SegmentWriter(str(path), schema)
        mine = list(islice(numbers, count))
        if not mine:
            return
        if place == len(SHARES) - 1:
            mine += list(numbers)
        for number in mine:
            writer.add(_settled(root, layout.plan_name(number), number, schema))
        digests = {number: groups[number].digest for number in mine}
        shards = {number: len(groups[number].shards) for number in mine}
        writer.close(digests, shards, catalogue.segments)
        assert create_segment(root, catalogue.next_segment, str(path))
        path.unlink(missing_ok=True)


def _settled(root: Root, plan: str, group: int, schema: pa.Schema) -> pa.Table:
    """Return the rows of a plan's videos, as if all had been worked on."""
    units = read_plan(root, plan)
    count = len(units)
    ids = raw_ids(units.column("video_id"))
    rows = untouched(units, id_array(ids), group, np.zeros(count, bool), schema)
    planned = rows.column("planned_clips").to_numpy()
    failed = np.arange(count) % FAILED_EVERY == 0
    written = planned - failed
    shard = units.column("shard").to_numpy()
    starts = np.concatenate([[0], np.cumsum(written)[:-1]])
    first = starts - starts[np.searchsorted(shard, shard)]
    names = [FEATURES.key(layout.shard_name(plan, n)) for n in range(shard[-1] + 1)]
    files = pa.array(names).take(pa.array(shard))
    every = np.arange(count + 1, dtype=np.int32)
    pieces = pa.StructArray.from_arrays(
        [files, pa.array(first), pa.array(written)], ["file", "first_row", "rows"]
    )
    bad = planned[failed] - 1
    errors = pa.StructArray.from_arrays(
        [
            pa.array(bad), pa.array(bad), pa.array(["undecodable"] * len(bad)),
            pa.array(["no frame could be decoded"] * len(bad)),
            pa.array(np.full(len(bad), 2, np.int32)),
        ],
        [field.name for field in OPEN_ERRORS.value_type],
    )  # fmt: skip
    new = {
        "clips": pa.array(written),
        "error_clips": pa.array(failed.astype(np.int64)),
        "duration_s": pa.array(planned.astype(np.float64)),
        "opened": pa.array(np.ones(count, bool)),
        "rows_end": pa.array(planned),
        "pieces": pa.ListArray.from_arrays(pa.array(every), pieces.cast(PIECES.value_type)),
        "errors": pa.ListArray.from_arrays(
            pa.array(np.concatenate([[0], np.cumsum(failed)]).astype(np.int32)),
            errors.cast(OPEN_ERRORS.value_type),
        ),
        "unsettled": pa.ListArray.from_arrays(
            pa.array(np.zeros(count + 1, np.int32)), pa.array([], RANGES.value_type)
        ),
    }
    columns = [
        new[field.name].cast(field.type) if field.name in new else rows.column(field.name)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def commit_all(run: ExtractRun, failed: bool = False) -> int:
    """Commit every pending shard with a real file: a row of no clip, an outcome a video.

    Args:
        failed: every hundredth video has a failed clip.
    """
    made = 0
    done = set(layout.shard_names(run.root.list(layout.FEATURES)))
    for plan in plan_list(run.root):
        for lease in leases(plan, read_plan(run.root, plan), done):
            _commit(run, lease, [_outcome(u, failed and n % FAILED_EVERY == 0)
                                 for n, u in enumerate(lease.to_do(Unit))])  # fmt: skip
            made += 1
    return made


def _commit(run: ExtractRun, lease: Lease, outcomes: Sequence[Outcome]) -> None:
    shape = run.model.shape
    table = features_table([], shape, run.recipe, lease.shard)
    assert publish_file(
        run.root, FEATURES.key(lease.shard),
        lambda path: write_features(path, table, outcomes, run.recipe, shape),
    )  # fmt: skip


def _outcome(unit: Unit, failed: bool) -> Outcome:
    clips = unit.clips
    timeline = Timeline(1, 1000, 0, clips * 1000, clips)
    probe = Probe("mp4", "h264", 32, 32, 0, timeline, clips, 0, 1.0, True)
    errors = (RangeError(clips - 1, clips - 1, "undecodable", "no frame", 2),) if failed else ()
    empty = ((0, clips - 1 - failed),) if clips > failed else ()
    return Outcome(
        unit.video_id, unit.uri, unit.first_clip, unit.first_clip + clips - 1, 0, empty, errors,
        probe=probe,
    )  # fmt: skip


def write_notes(root: Root, shards: Sequence[str], size: int = 1000) -> None:
    """Write notes of committed shards, as a driver that was killed has left them."""
    of_plan: dict[str, list[str]] = {}
    for shard in shards:
        of_plan.setdefault(layout.plan_of(shard), []).append(shard)
    waiting: dict[str, bytes] = {}
    for plan, names in of_plan.items():
        waiting |= dict(_noted(root, plan, names))
        while len(waiting) >= size:
            part = dict(list(waiting.items())[:size])
            _write_note(root, part)
            waiting = dict(list(waiting.items())[size:])
    if waiting:
        _write_note(root, waiting)


def _noted(root: Root, plan: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    units = read_plan(root, plan, ["shard", "video_id", "uri", "expected_clips"])
    shard = units.column("shard").to_numpy()
    ids, uris = units.column("video_id").to_pylist(), units.column("uri").to_pylist()
    clips = units.column("expected_clips").to_pylist()
    for name in names:
        number = int(name.rpartition("-")[2])
        a, b = np.searchsorted(shard, [number, number + 1]).tolist()
        outcomes = (
            f'{{"video_id":"{ids[n]}","uri":"{uris[n]}","first_clip":0,"last_clip":{clips[n] - 1},'
            f'"rows":{clips[n]},"empty":[],"errors":[],"bad_packets":0,"warnings":[],'
            '"probe":{"container":"mp4","codec":"h264","width":1280,"height":720,"rotation":0,'
            f'"timeline":{{"num":1,"den":1000,"origin_tick":0,"duration_ticks":{clips[n] * 1000},'
            f'"n_frames":{clips[n]},"restarts":false}},"n_clips":{clips[n]},"n_empty":0,'
            '"decode_s":1.0,"scanned":true}}'
            for n in range(a, b)
        )
        yield name, f"[{','.join(outcomes)}]".encode()


def _write_note(root: Root, noted: dict[str, bytes]) -> None:
    groups = sorted({layout.group_of(shard) for shard in noted})
    schema = _SCHEMA.with_metadata({_GROUPS: json.dumps(groups)})
    table = pa.table({"shard": list(noted), "outcomes": list(noted.values())}, schema=schema)
    folder = Path(root.uri) / layout.INDEX
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    pq.write_table(table, folder / f"n-{number:032x}.parquet", compression="zstd")
