"""Splits: as given, or drawn by the seed, class by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from vfeat.errors import JobError
from vfeat.train.seeds import draw
from vfeat.train.task import SPLITS, LabelRow, Split, TaskLabels

SHARE = 0.1  # of the videos of a class, for validation and for testing


def drawn_splits(
    table: TaskLabels, rows: Mapping[int, LabelRow], ids: Sequence[str], seed: int
) -> tuple[dict[Split, list[int]], int]:
    """Return the places of each split's videos, in order, and how many were held out of training.

    A draw depends on the seed and the video's id only. One in ten videos of each class is for
    testing and one in ten for validation, at least one of each where a class has three.

    Args:
        rows: label by place of the video.
        ids: video_id by place.

    Raises:
        JobError: some lines have a split and some have none.
    """
    bare = [place for place, row in rows.items() if row.split is None]
    splits: dict[Split, list[int]] = {name: [] for name in SPLITS}
    if bare and len(bare) < len(rows):
        raise JobError(
            f"{table.source}: {len(bare)} of {len(rows)} labelled videos have no split; "
            "give all of them one, or none"
        )
    if bare:
        for order in _shuffled(table, rows, bare, ids, seed):
            count = _share(len(order), 3)
            splits["test"] += order[:count]
            splits["val"] += order[count : 2 * count]
            splits["train"] += order[2 * count :]
        return _sorted(splits), 0
    for place, row in rows.items():
        if row.split is not None:
            splits[row.split].append(place)
    if splits["val"]:
        return _sorted(splits), 0
    for order in _shuffled(table, rows, splits["train"], ids, seed):
        splits["val"] += order[: _share(len(order), 2)]
    splits["train"] = sorted(set(splits["train"]) - set(splits["val"]))
    return _sorted(splits), len(splits["val"])


def _share(count: int, least: int) -> int:
    return max(1, round(count * SHARE)) if count >= least else 0


def _shuffled(
    table: TaskLabels,
    rows: Mapping[int, LabelRow],
    places: Sequence[int],
    ids: Sequence[str],
    seed: int,
) -> list[list[int]]:
    """Group videos by class, or all together where one has not exactly one; in drawn order."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place in places:
        groups[rows[place].target if table.kind == "classification" else None].append(place)
    return [
        sorted(group, key=lambda place: draw(seed, "split", ids[place]))
        for group in groups.values()
    ]


def _sorted(splits: dict[Split, list[int]]) -> dict[Split, list[int]]:
    return {name: sorted(places) for name, places in splits.items()}
