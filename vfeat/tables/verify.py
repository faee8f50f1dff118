"""Proof, by reading every byte again, that each planned clip has one row or one error."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vfeat.errors import StorageError
from vfeat.outcome import Outcome
from vfeat.plan.unit import AnyUnit, Lease
from vfeat.storage.root import Root
from vfeat.tables import layout
from vfeat.tables.about import read_about
from vfeat.tables.catalogue import Catalogue, Group, read_catalogue
from vfeat.tables.committed import committed_shards
from vfeat.tables.dataset_state import DatasetState, state_from_footers
from vfeat.tables.features import read_footer
from vfeat.tables.group_fold import FoldedGroup
from vfeat.tables.index_rows import ranges_of, rows_table
from vfeat.tables.kind import TableKind
from vfeat.tables.opened_root import dataset_root
from vfeat.tables.parquet import opened
from vfeat.tables.plans import leases, read_plan

Ranges = list[tuple[int, int]]
_COMPARED_CLIPS = 1_000_000  # missing ones that are counted one by one
_DIGESTED_ROWS = 1024  # that are Python objects at once


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
    root = dataset_root(root.address)
    report = VerifyReport()
    try:
        indexed = DatasetState(read_catalogue(root))
        catalogue = indexed.catalogue
    except StorageError as error:
        report.problems.append(str(error))
        indexed, catalogue = None, read_catalogue(root, ignore_segments=True)
    check = _Check(catalogue, report)
    folds = check.state.folded()
    for group in catalogue.groups.values():
        for plan in group.plans:
            for lease in leases(plan, read_plan(root, plan), set()):
                check.shard(group, lease)
                yield report
        check.group(next(folds))
    for shard in layout.in_order(committed_shards(root) - check.planned):
        report.problems.append(f"{catalogue.kind.key(shard)}: no plan has this shard")
    check.close()
    if indexed is not None and (catalogue.segments or catalogue.notes):
        report.problems += check.disagreements(indexed)
    yield report


class _Check:
    """Check of shards and groups; of videos only those of several groups are held."""

    def __init__(self, catalogue: Catalogue, report: VerifyReport) -> None:
        self.state = state_from_footers(catalogue, self._outcomes)
        self.planned: set[str] = set()
        self._catalogue = catalogue
        self._report = report
        self._fingerprint = read_about(catalogue.root)["fingerprint"]
        self._read: dict[str, list[Outcome]] = {}  # of the group that is being checked
        self._covered: dict[str, Ranges] = {}
        self._digests = _Digests()
        self._complete: set[int] = set()
        self._broken: set[int] = set()  # groups with a problem of their own

    def shard(self, group: Group, lease: Lease) -> None:
        """Check a planned shard."""
        self.planned.add(lease.shard)
        if lease.shard not in group.shards:
            self._report.pending_shards += 1
            self._report.pending_clips += lease.clips
            return
        problems = len(self._report.problems)
        outcomes = _check_shard(
            self._catalogue, lease, self._fingerprint, self._covered, self._report
        )
        if outcomes is not None:
            self._read[lease.shard] = outcomes
        if len(self._report.problems) > problems:
            self._broken.add(group.number)

    def group(self, part: FoldedGroup) -> None:
        """Check a group whose shards have been checked."""
        if part.complete:
            self._complete.add(part.group.number)
        final = [part.held[video_id] for video_id in part.held if video_id in part.final]
        for rows in (part.fresh, rows_table(final, self.state.schema)):
            self._digests.add(rows)
            self._report.problems += _unsettled(rows, self._complete)
        for shard in part.orphans:
            self._report.pending_shards += 1
            for outcome in self._read[shard]:
                if outcome.split is not None:
                    self._report.pending_clips += outcome.split.last_clip - outcome.last_clip
        later = {video_id: self._covered.pop(video_id) for video_id in part.held.keys()
                 & self._covered.keys() - part.final}  # fmt: skip
        self.close()
        self._covered = later
        self._read = {}

    def close(self) -> None:
        """Check that no two files hold a clip of the videos seen so far."""
        self._report.problems += _overlaps(self._covered)
        self._covered = {}

    def disagreements(self, indexed: DatasetState) -> Iterator[str]:
        """Yield a problem for each plan in which the index differs from the files."""
        found = _Digests()
        for rows in indexed.tables():
            found.add(rows)
        for group in sorted(self._digests.of_group.keys() | found.of_group.keys()):
            ours, theirs = self._digests.of_group[group], found.of_group[group]
            if ours != theirs and group not in self._broken:
                yield (
                    f"the index disagrees with the files of plan {layout.plan_name(group)}: run "
                    f"vfeat reindex {self._catalogue.root.uri}"
                )

    def _outcomes(self, group: Group, shards: Sequence[str]) -> Iterator[tuple[str, list[Outcome]]]:
        for shard in shards:
            if shard in self._read:
                yield shard, self._read[shard]


class _Digests:
    """Digest of the rows of each group, whatever their order."""

    def __init__(self) -> None:
        self.of_group: dict[int, int] = defaultdict(int)

    def add(self, rows: pa.Table) -> None:
        # Whether a video is gone is known from its listing only.
        for batch in rows.drop_columns(["gone"]).to_batches(_DIGESTED_ROWS):
            for row in batch.to_pylist():
                told = repr(sorted(row.items())).encode()
                number = int.from_bytes(hashlib.blake2b(told, digest_size=16).digest())
                group = row["groups"][0]
                self.of_group[group] = (self.of_group[group] + number) % (1 << 128)


def _unsettled(rows: pa.Table, complete: set[int]) -> Iterator[str]:
    """Yield a problem for each video of complete groups that has clips without an outcome."""
    missing = pc.and_(
        pc.greater(pc.list_value_length(rows.column("unsettled")), 0),
        pc.invert(rows.column("changed")),
    )
    for row in rows.filter(missing).select(["video_id", "unsettled", "groups"]).to_pylist():
        if not complete.issuperset(row["groups"]):
            continue
        ranges = ranges_of(row["unsettled"])
        yield (
            f"video {row['video_id'].hex()}: clips {ranges[0][0]} to {ranges[-1][1]} are neither "
            "row nor error, and no plan has them"
        )


def _check_shard(
    catalogue: Catalogue,
    lease: Lease,
    fingerprint: str,
    covered: dict[str, Ranges],
    report: VerifyReport,
) -> list[Outcome] | None:
    """Read a file; return its outcomes, or None where it cannot be read."""
    kind = catalogue.kind
    key = kind.key(lease.shard)
    try:
        with opened(catalogue.root, key, checked=True) as reader:
            footer = read_footer(reader)
            table = reader.read()
        problems = list(_rows(table, footer.outcomes, kind))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, StorageError) as error:
        report.problems.append(f"{key}: cannot be read: {error}")
        return None
    report.files += 1
    report.rows += table.num_rows
    if footer.fingerprint != fingerprint:
        report.problems.append(f"{key}: rows of another recipe than {layout.DATASET}'s")
    whole = {(u.video_id, u.first_clip) for u in lease.units if u.last_clip is None}
    wanted = {_unit_key(unit, whole) for unit in lease.units}
    found = {_unit_key(outcome, whole) for outcome in footer.outcomes}
    if wanted != found:
        report.problems.append(
            f"{key}: {len(wanted - found)} planned units have no outcome, "
            f"{len(found - wanted)} outcomes no unit"
        )
    report.problems += [f"{key}: {problem}" for problem in problems]
    for outcome in footer.outcomes:
        report.empty_clips += outcome.empty_clips
        report.error_clips += outcome.error_clips
        covered.setdefault(outcome.video_id, []).extend(outcome.row_ranges())
    return footer.outcomes


def _unit_key(one: AnyUnit | Outcome, whole: set[tuple[str, int]]) -> tuple[str, int, int | None]:
    """Return what a unit and its outcome share; the end of a whole video is not planned."""
    start = (one.video_id, one.first_clip)
    return (*start, None if start in whole else one.last_clip)


def _rows(table: pa.Table, outcomes: list[Outcome], kind: TableKind) -> Iterator[str]:
    """Compare rows with outcomes: the same keys, in order, once, with finite vectors."""
    keys = list(
        zip(
            table.column("video_id").to_pylist(),
            table.column(kind.index).to_pylist(),
            strict=True,
        )
    )
    settled = sum(last - first + 1 for o in outcomes for first, last in o.row_ranges())
    if settled - len(keys) > _COMPARED_CLIPS:  # a damaged footer may promise any number
        yield f"{settled - len(keys)} {kind.noun}s have neither row nor error"
        return
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
