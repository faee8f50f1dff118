"""A shard in the making: collects rows and outcomes, and writes the file at the end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vfeat.engine.worker_protocol import UnitResult
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import ClipSpec
from vfeat.media.shots.grid import shot_grid
from vfeat.outcome import Outcome, RangeError
from vfeat.plan.unit import Lease, Unit
from vfeat.storage.listing import local_etag
from vfeat.storage.root import Root
from vfeat.storage.source import is_local
from vfeat.tables.features import ClipRow, features_table, write_features
from vfeat.tables.kind import FEATURES
from vfeat.tables.publish import publish_file
from vfeat.tables.schema import RowShape

if TYPE_CHECKING:
    from vfeat.extract.encoder import Encoded  # torch: the driver publishes shards without it


_UNKNOWN_PART = (
    "; its address had a signature, password or query that is not stored, and the sources of this "
    "run do not name it: list it again, and add --retry-errors storage"
)


@dataclass
class OpenShard:
    """Rows and outcomes of a lease so far. Only the pump thread uses it, until `finished`.

    Attributes:
        clip: the recipe's clip grid.
        failure: why this machine could not do it.
    """

    lease: Lease
    waiting: int
    clip: ClipSpec = field(default_factory=ClipSpec)
    unencoded: int = 0
    rows: dict[str, list[ClipRow]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    finished: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None

    def fail(self, failure: Exception) -> None:
        """End the shard without a result: it can be done elsewhere."""
        self.failure = failure
        self.finished.set()

    def add_clip(
        self, unit: Unit, clip_index: int, start_s: float, end_s: float, clip: Encoded
    ) -> None:
        """Add an encoded clip of a unit as a row.

        Args:
            unit: the clip's unit.
            clip_index: number of the clip in the video's grid.
            start_s, end_s: seconds from the first presented frame.
            clip: embedding, labels and tokens.
        """
        row = ClipRow(
            unit.video_id, unit.uri, clip_index, start_s, end_s,
            clip.embedding, clip.labels, clip.tokens,
        )  # fmt: skip
        self.rows.setdefault(unit.key, []).append(row)
        self.unencoded -= 1
        self._check()

    def add_outcome(self, unit: Unit, outcome: Outcome) -> None:
        """Add the outcome of a unit whose decoding has ended."""
        # Of a unit that failed in an earlier shard, all attempts count.
        earlier = 0 if unit.error_class is not None else unit.attempts
        self.outcomes[unit.key] = outcome.after(earlier)
        self.waiting -= 1
        self._check()

    def _check(self) -> None:
        if self.waiting == 0 and self.unencoded == 0:
            self.finished.set()

    def results(self) -> list[UnitResult]:
        """Return results in the lease's order, of the units that have one."""
        return [
            reconcile(self.outcomes[unit.key], self._rows(unit))
            for unit in self.lease.to_do(Unit)
            if unit.key in self.outcomes
        ]

    def _rows(self, unit: Unit) -> list[ClipRow]:
        """Return a unit's rows, with their shots where clips are laid on shots."""
        rows, probe = self.rows.get(unit.key, []), self.outcomes[unit.key].probe or unit.probe
        if self.clip.sampling != "shots" or probe is None:
            return rows
        grid = shot_grid(self.clip, probe.timeline)
        shots = (grid.shot_of(row.clip_index) for row in rows)
        return [
            replace(row, shot=(shot.index, float(shot.start_s), float(shot.end_s)))
            for row, shot in zip(rows, shots, strict=True)
        ]


def reconcile(outcome: Outcome, rows: list[ClipRow]) -> UnitResult:
    """Make rows and outcome add up to the unit, whatever the decoder reported.

    A row of a clip that the outcome lists as failed is dropped; a clip without either becomes an
    error, so that nothing is ever missing silently.
    """
    wanted = {clip for first, last in outcome.row_ranges() for clip in range(first, last + 1)}
    kept = {row.clip_index: row for row in rows if row.clip_index in wanted}
    lost = sorted(wanted - kept.keys())
    message = f"{outcome.uri}: no clip came for this place of the grid, and no reason"
    errors = tuple(RangeError(clip, clip, "internal", message, 1) for clip in lost)
    settled = replace(outcome, rows=len(kept), errors=(*outcome.errors, *errors))
    return UnitResult(settled, tuple(kept.values()))


def known_outcome(unit: Unit) -> Outcome | None:
    """Return the outcome of a unit that need not be decoded, if it is one.

    Its object could not be read when it was listed; or it is a local file that is no longer the
    one that was planned, and whose new content would get the old video's id.
    """
    if unit.error_class is not None:
        return unit.failure(unit.error_class, unit.message or "", unit.attempts)
    etag = local_etag(unit.uri) if is_local(unit.uri) else None
    return None if etag is None or etag == unit.etag else unit.changed()


def public_outcome(unit: Unit, outcome: Outcome) -> Outcome:
    """Return a decoder's outcome without the parts of the address that are not to be stored."""
    hint = _UNKNOWN_PART if unit.has_secret and unit.address is None else ""

    def cleaned(error: RangeError) -> RangeError:
        message = error.message.replace(unit.read_from, unit.uri)
        return replace(error, message=message + (hint if error.error_class == "storage" else ""))

    return replace(
        outcome,
        uri=unit.uri,
        errors=tuple(map(cleaned, outcome.errors)),
        warnings=tuple(text.replace(unit.read_from, unit.uri) for text in outcome.warnings),
    )


def publish_shard(
    root: Root, shard: str, results: list[UnitResult], recipe: Recipe, shape: RowShape
) -> bool:
    """Finish the whole file in a local temporary place and publish it in one step.

    Returns:
        False when another attempt had published the shard first; its rows stand.
    """
    rows = [row for result in results for row in result.rows if isinstance(row, ClipRow)]
    table = features_table(rows, shape, recipe, shard)
    outcomes = [result.outcome for result in results]
    return publish_file(
        root,
        FEATURES.key(shard),
        lambda path: write_features(path, table, outcomes, recipe, shape),
        has_errors=any(outcome.errors for outcome in outcomes),
    )
