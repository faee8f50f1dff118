"""What must hold after any story: of a run, and of what it leaves."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from tests.sim.cluster import Account
from tests.sim.corpus import Archive, Film
from tests.sim.ending import Ending
from tests.sim.store import Store
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.catalogue import read_catalogue
from vfeat.tables.dataset import open as open_dataset
from vfeat.tables.parquet import read_table
from vfeat.tables.pending import missing_follow_ups, pending_plans
from vfeat.tables.snapshot import rebuild_index
from vfeat.tables.verify import verify_dataset

Key = tuple[str, int]


def of_a_run(ending: Ending, told: Account) -> Iterator[str]:
    """Yield what is wrong with the end of one command."""
    if ending.code == -1:
        yield f"a run raised what is no VfeatError:\n{ending.text}"
    if ending.silences > told.hangs:
        yield f"{ending.silences} workers were killed as silent, and {told.hangs} hung"
    if ending.deaths > told.deaths + told.hangs:
        yield f"{ending.deaths} deaths were blamed on leases, and {told.deaths} were theirs"
    for held, starts in told.starts.items():
        # once, a second copy of a slow one, and again after each worker that ended with it
        if starts > 2 + 2 * told.ends[held]:
            yield f"{held} was begun {starts} times, and {told.ends[held]} workers ended with it"


def unfinished(root: Root) -> Iterator[str]:
    """Yield what a run left undone that ended with 0 or 3."""
    catalogue = read_catalogue(root)
    for pending in pending_plans(catalogue):
        left = pending.shards - len(pending.committed)
        yield f"the run ended, and {left} shards of {pending.plan} are pending"
    for shard in missing_follow_ups(catalogue):
        yield f"the run ended, and the split of {shard} has no follow-up plan"


def broken(root: Root, store: Store, archive: Archive) -> list[str]:
    """Return the laws that do not hold at the end, one sentence each."""
    found = list(unfinished(root))
    if found:
        return found
    found += _once(store)
    found += _rows(store, archive)
    found += _read(root, archive)
    found += _tables(root, archive)
    for report in verify_dataset(root):
        last = report
    found += [f"verify: {problem}" for problem in last.problems]
    if last.pending_shards:
        found.append(f"verify: {last.pending_shards} shards are pending")
    found += _index(root)
    return found


def _once(store: Store) -> Iterator[str]:
    """Plans and committed files are written once, where the store can refuse the second one."""
    if store.was_conditional:
        for key, times in store.created.items():
            if times > 1 and key.startswith(("out/data/features/", "out/data/plans/")):
                yield f"{key} was written {times} times"


def _rows(store: Store, archive: Archive) -> Iterator[str]:
    """Compare the files themselves with the truth."""
    keys: Counter[Key] = Counter()
    for key, stored in store.objects.items():
        if not key.startswith("out/data/features/"):
            continue
        table = pq.read_table(
            io.BytesIO(stored.data), columns=["video_id", "clip_index", "embedding"]
        )
        for row in table.to_pylist():
            keys[row["video_id"], row["clip_index"]] += 1
            if row["embedding"][:2] != [int(row["video_id"][:6], 16), row["clip_index"]]:
                yield f"{key}: the vector of {row['video_id']} {row['clip_index']} is another's"
    yield from _compared("the files", keys, archive)


def _read(root: Root, archive: Archive) -> Iterator[str]:
    """Compare what the public reader yields with the truth."""
    if not any(layout.shard_names(root.list(layout.FEATURES))):
        return
    keys: Counter[Key] = Counter()
    for sequence in open_dataset(root.uri).sequences():
        keys.update((sequence.video_id, int(clip)) for clip in sequence.clip_index)
        marks = sequence.embeddings[:, 1].astype(int).tolist()
        if marks != sequence.clip_index.tolist():
            yield f"the reader gives {sequence.video_id} other vectors"
    yield from _compared("the reader", keys, archive)


def _compared(what: str, keys: Counter[Key], archive: Archive) -> Iterator[str]:
    double = sorted(key for key, count in keys.items() if count > 1)
    if double:
        yield f"{what}: {len(double)} clips stand twice, for example {double[0]}"
    present = {film.video_id: film for film in archive.films.values()}
    for video_id, film in archive.every.items():
        clips = {clip for one, clip in keys if one == video_id}
        wanted = film.rows
        if video_id in present and clips != wanted:
            yield (
                f"{what}: {film} has rows {sorted(clips - wanted)} too many and "
                f"{sorted(wanted - clips)} too few"
            )
    unknown = {one for one, _ in keys} - archive.every.keys()
    if unknown:
        yield f"{what}: rows of videos that never were: {sorted(unknown)}"


def _tables(root: Root, archive: Archive) -> Iterator[str]:
    """Compare both snapshots with the truth."""
    present = {film.video_id: film for film in archive.films.values()}
    videos = {row["video_id"]: row for row in read_table(root, layout.VIDEOS).to_pylist()}
    errors: dict[str, list[dict[str, Any]]] = {}
    for row in read_table(root, layout.ERRORS).to_pylist():
        errors.setdefault(row["video_id"], []).append(row)
    for video_id, film in present.items():
        if video_id not in videos:
            yield f"videos.parquet has no {film}"
            continue
        row = videos[video_id]
        shown = (row["status"], row["clips"], row["planned_clips"], row["empty_clips"])
        if shown != _shown(film):
            yield f"videos.parquet shows {film} as {shown}, and it is {_shown(film)}"
        yield from _errors(film, errors.get(video_id, []))
    for video_id, row in videos.items():
        if video_id not in present and row["status"] != "gone":
            yield f"videos.parquet shows {row['uri']} {video_id} as {row['status']}; it is gone"


def _shown(film: Film) -> tuple[str, int, int, int]:
    if film.fault:
        return "failed", 0, 1, 0
    rows = len(film.rows)
    status = "complete" if not film.broken else "partial" if rows else "failed"
    return status, rows, film.clips, len(film.empty)


def _errors(film: Film, errors: list[dict[str, Any]]) -> Iterator[str]:
    found = {
        (clip, row["error_class"])
        for row in errors
        for clip in range(row["first_clip"], row["last_clip"] + 1)
    }
    clips = {0} if film.fault else film.broken
    wanted = {(clip, film.error_class) for clip in clips}
    if found != wanted:
        yield f"errors of {film}: {sorted(found)}, and planted were {sorted(wanted)}"
    if film.fault == "killer" and any(row["attempts"] < 3 for row in errors):
        yield f"{film} was given up after {errors[0]['attempts']} attempts"


def _index(root: Root) -> Iterator[str]:
    """Compare the snapshots with those made anew from the footers."""
    before = {key: _sorted(root, key) for key in (layout.VIDEOS, layout.ERRORS)}
    rebuild_index(root)
    for key, rows in before.items():
        if _sorted(root, key) != rows:
            yield f"{key} is another one when it is made from the footers"


def _sorted(root: Root, key: str) -> list[str]:
    return sorted(map(repr, read_table(root, key).to_pylist()))
