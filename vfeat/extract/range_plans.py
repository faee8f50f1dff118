"""Plans of clips that were planned before: ranges that failed, and videos whose content is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import pyarrow as pa

from vfeat.corpus import MISSING_ETAG
from vfeat.corpus.address_book import AddressBook
from vfeat.engine.second_opinion import Key
from vfeat.errors import VfeatError
from vfeat.extract.listing import Listing
from vfeat.extract.planning import Planner, count_numbered, retried
from vfeat.plan.estimate import Estimate
from vfeat.plan.shards import ShardLimits
from vfeat.plan.unit import Unit
from vfeat.storage.listing import find_object
from vfeat.storage.root import Root
from vfeat.surroundings import here
from vfeat.tables.pending import failed_ranges, replaced_ranges

_STAT_THREADS = 16


class RangePlans:
    """Planning of clip ranges that the footers of a dataset name.

    Args:
        planner: publishes the plans.
        listing: of the corpus, at its end.
        addresses: of videos whose uri does not open them.
        estimate: costs of the units.
        limits: of the shards.
    """

    def __init__(
        self,
        root: Root,
        planner: Planner,
        listing: Listing,
        addresses: AddressBook,
        estimate: Estimate,
        limits: ShardLimits,
    ) -> None:
        self._root, self._planner, self._listing = root, planner, listing
        self._addresses, self._estimate, self._limits = addresses, estimate, limits

    def retries(
        self, classes: tuple[str, ...], nodes: Mapping[Key, str] | None = None
    ) -> Iterator[str]:
        """Publish plans of failed clips whose videos are unchanged; yield their names.

        Args:
            classes: of the errors.
            nodes: only these ranges, those of different nodes in different shards.
        """

        def failed() -> Iterator[pa.Table]:
            for table in failed_ranges(self._root, classes, with_gone=True):
                table = _only(nodes, table)
                yield table.filter(self._is_unchanged(table))

        yield from self._publish(failed, nodes or {})

    def returned(self) -> Iterator[str]:
        """Publish plans of videos that were replaced after they were planned, and are back."""

        def returned() -> Iterator[pa.Table]:
            for table in replaced_ranges(self._root):
                yield table.filter(self._has_returned(table))

        yield from self._publish(returned, {})

    def _publish(
        self, ranges: Callable[[], Iterator[pa.Table]], nodes: Mapping[Key, str]
    ) -> Iterator[str]:
        """Publish plans of ranges, read anew until no other driver comes between.

        Args:
            ranges: reads them, as tables of `failed_ranges`.
            nodes: on which they failed; those of different nodes are in different shards.
        """
        while True:
            plans = count_numbered(self._root)  # before looking: see Planner
            rows = [row for table in ranges() for row in table.to_pylist()]
            if not rows:
                return
            unit_clips = self._limits.unit_clips(self._estimate.clip_cost_s)
            units = list(map(self._marked, retried(rows, self._estimate, unit_clips)))
            names = self._planner.plan_ranges(units, plans, partial(_node, nodes))
            if names is not None:
                yield from names
                return

    def _marked(self, unit: Unit) -> Unit:
        """Return a unit with the mark that its address holds a secret, where it does."""
        is_secret = self._addresses.find(unit.video_id, unit.uri, unit.source) is not None
        return replace(unit, has_secret=is_secret)

    def _is_unchanged(self, failed: pa.Table) -> pa.Array:
        """Return whether the object of each row is still there with the same content."""
        gone = self._listing.is_gone(failed).to_pylist()
        rows = [(uri, etag) for _, uri, _, etag in _columns(failed)]
        asked = [row for row, is_gone in zip(rows, gone, strict=True) if is_gone is None]
        found = dict(zip(asked, here().each(_STAT_THREADS, _is_same, asked), strict=True))
        return pa.array(
            [
                found[row] if is_gone is None else not is_gone and row[1] != MISSING_ETAG
                for row, is_gone in zip(rows, gone, strict=True)
            ],
            pa.bool_(),
        )

    def _has_returned(self, replaced: pa.Table) -> pa.Array:
        """Return whether the object of each row has the content that was planned.

        A list may give any etag, so the object itself is looked at.
        """
        gone = self._listing.is_gone(replaced).to_pylist()
        asked = [
            (self._addresses.find(*row[:3]) or row[1], MISSING_ETAG if is_gone else row[3])
            for row, is_gone in zip(_columns(replaced), gone, strict=True)
        ]
        return pa.array(here().each(_STAT_THREADS, _is_same, asked), pa.bool_())


def _only(nodes: Mapping[Key, str] | None, failed: pa.Table) -> pa.Table:
    """Return the rows of these ranges; all for None."""
    if nodes is None:
        return failed
    ids, clips = (failed.column(name).to_pylist() for name in ("video_id", "first_clip"))
    keys = zip(ids, clips, strict=True)
    return failed.filter(pa.array([key in nodes for key in keys], pa.bool_()))


def _node(nodes: Mapping[Key, str], unit: Unit) -> str:
    return nodes.get((unit.video_id, unit.first_clip), "")


def _columns(rows: pa.Table) -> Iterator[tuple[str, str, str, str]]:
    names = ("video_id", "uri", "source", "etag")
    return zip(*(rows.column(name).to_pylist() for name in names), strict=True)


def _is_same(video: tuple[str, str]) -> bool:
    uri, etag = video
    if not uri or etag == MISSING_ETAG:
        return False
    try:
        return find_object(uri).etag == etag
    except VfeatError:
        return False
