"""Proof, by reading every byte again, that each planned clip has one row or one error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from vfeat.errors import StorageError
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.committed import committed_shards
from vfeat.tables.features import read_footer
from vfeat.tables.kind import TableKind, kind_of
from vfeat.tables.opened_root import dataset_root
from vfeat.tables.parquet import opened
from vfeat.tables.plans import leases, plan_list, read_plan

Ranges = list[tuple[int, int]]


@dataclass
class VerifyReport:
    """Report of a verification: what was read and what is wrong.

    Attributes:
        pending_clips: planned, and their shard is not committed yet.
        problems: one sentence each; empty when the dataset is what it should be.
    """

    files: int = 0
    rows: int = 0
    empty_clips: int = 0
    error_clips: int = 0
    pending_shards: int = 0
    pending_clips: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Exit code: 0 whole, 3 unfinished, 5 something is wrong with what is stored."""
        if self.problems:
            return 5
        return 3 if self.pending_shards else 0


def verify_dataset(root: Root) -> Iterator[VerifyReport]:
    """Re-read everything; yields the same growing report after each file, for progress."""
    root = dataset_root(root.uri)
    fingerprint = json.loads(root.read_bytes(layout.DATASET))["fingerprint"]
    report = VerifyReport()
    committed = committed_shards(root)
    planned: set[str] = set()
    covered: dict[str, Ranges] = {}
    for plan in plan_list(root):
        for lease in leases(plan, read_plan(root, plan), set()):
            planned.add(lease.shard)
            if lease.shard in committed:
                _check_shard(root, lease, fingerprint, covered, report)
            else:
                report.pending_shards += 1
                report.pending_clips += lease.clips
            yield report
    for shard in layout.in_order(committed - planned):
        report.problems.append(f"{kind_of(root).key(shard)}: no plan has this shard")
    report.problems += _overlaps(covered)
    yield report


def _check_shard(
    root: Root, lease: Lease, fingerprint: str, covered: dict[str, Ranges], report: VerifyReport
) -> None:
    kind = kind_of(root)
    key = kind.key(lease.shard)
    try:
        with opened(root, key, checked=True) as reader:
            footer = read_footer(reader)
            table = reader.read()
    except (OSError, KeyError, ValueError, StorageError) as error:
        report.problems.append(f"{key}: cannot be read: {error}")
        return
    report.files += 1
    report.rows += table.num_rows
    if footer.fingerprint != fingerprint:
        report.problems.append(f"{key}: rows of another recipe than {layout.DATASET}'s")
    wanted = {(u.video_id, u.first_clip, u.last_clip) for u in lease.units}
    found = {(o.video_id, o.first_clip, o.last_clip) for o in footer.outcomes}
    if wanted != found:
        report.problems.append(
            f"{key}: {len(wanted - found)} planned units have no outcome, "
            f"{len(found - wanted)} outcomes no unit"
        )
    report.problems += [f"{key}: {problem}" for problem in _rows(table, footer.outcomes, kind)]
    for outcome in footer.outcomes:
        report.empty_clips += outcome.empty_clips
        report.error_clips += outcome.error_clips
        covered.setdefault(outcome.video_id, []).extend(outcome.row_ranges())


def _rows(table: pa.Table, outcomes: list[Outcome], kind: TableKind) -> Iterator[str]:
    """Compare rows with outcomes: the same keys, in order, once, with finite vectors."""
    keys = list(
        zip(
            table.column("video_id").to_pylist(),
            table.column(kind.index).to_pylist(),
            strict=True,
        )
    )
    expected = sorted(
        (o.video_id, clip)
        for o in outcomes
        for first, last in o.row_ranges()
        for clip in range(first, last + 1)
    )
    if keys != sorted(keys):
        yield f"rows are not sorted by (video_id, {kind.index})"
    if len(set(keys)) != len(keys):
        yield f"{len(keys) - len(set(keys))} rows double a {kind.noun}"
    if sorted(set(keys)) != expected:
        missing, extra = set(expected) - set(keys), set(keys) - set(expected)
        yield (
            f"{len(missing)} {kind.noun}s have neither row nor error, {len(extra)} rows no "
            f"{kind.noun}"
        )
    if kind.vector is None:
        return
    vectors = table.column(kind.vector).combine_chunks()
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    broken = int((~np.isfinite(values)).sum())
    if broken:
        yield f"{broken} values of {kind.vector} are not finite"


def _overlaps(covered: dict[str, Ranges]) -> Iterator[str]:
    """Yield a problem for clips that two files both hold."""
    for video_id, ranges in covered.items():
        end = -1
        for first, last in sorted(ranges):
            if first <= end:
                yield f"video {video_id}: clips {first} to {min(end, last)} stand in two files"
            end = max(end, last)
