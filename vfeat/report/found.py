"""What lies at an address: datasets, trainings, or a folder with several of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vfeat.errors import JobError, StorageError, VfeatError
from vfeat.report.training import METRICS
from vfeat.sequences.head import HEADS_FILE
from vfeat.storage.root import Root
from vfeat.storage.uris import is_local, local_path
from vfeat.tables import layout
from vfeat.tables.about import read_about
from vfeat.tables.kind import FEATURES, PREDICTIONS

MOST_PARTS = 8
_LOOKED_AT = 200  # folders beside a dataset, or in a folder


@dataclass(frozen=True)
class Found:
    """Roots that a report describes, in its order."""

    datasets: tuple[Root, ...]
    trainings: tuple[Root, ...]


def find_parts(uri: str) -> Found:
    """Find what a report on an address describes.

    A features dataset on this machine brings the predictions datasets that stand beside it and were
    made from it. A folder without a dataset brings those in it.

    Raises:
        JobError: there is no dataset and no training.
    """
    root = Root(uri)
    if root.exists(layout.DATASET):
        return Found((root, *_predictions_beside(root)), ())
    trainings = _trainings(root)
    if trainings:
        return Found((), tuple(trainings)[:MOST_PARTS])
    inside = list(_folders(Path(local_path(uri)))) if is_local(uri) else []
    roots = [Root(str(folder)) for folder in inside]
    datasets = [r for r in roots if r.exists(layout.DATASET)]
    others = [head for r in roots if not r.exists(layout.DATASET) for head in _trainings(r)]
    if not datasets and not others:
        raise JobError(
            f"{uri} holds no dataset ({layout.DATASET}) and no training ({METRICS}): give the "
            "--out of a vfeat command"
        )
    return Found(tuple(datasets)[:MOST_PARTS], tuple(others)[:MOST_PARTS])


def _trainings(root: Root) -> list[Root]:
    if root.exists(METRICS):
        return [root]
    if not root.exists(HEADS_FILE):
        return []
    try:
        tasks = [str(task) for task in json.loads(root.read_bytes(HEADS_FILE))["heads"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{root.url(HEADS_FILE)} is not as vfeat wrote it ({error!r})") from None
    plain = [task for task in tasks if "/" not in task and task not in ("", ".", "..")]
    heads = [Root(f"{root.address.rstrip('/')}/{task}") for task in plain]
    return [head for head in heads if head.exists(METRICS)]


def _predictions_beside(root: Root) -> Iterator[Root]:
    place = root.local_path(layout.DATASET)
    about = read_about(root)
    if place is None or about["format"] != FEATURES.format:
        return
    for folder in list(_folders(place.parent.parent)):
        other = Root(str(folder))
        try:
            if folder != place.parent and other.exists(layout.DATASET):
                theirs = read_about(other)
                made_from = theirs["recipe"].get("features")
                if theirs["format"] == PREDICTIONS.format and made_from == about["fingerprint"]:
                    yield other
        except VfeatError:
            continue  # not ours to complain about


def _folders(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            names = sorted(e.name for e in entries if e.is_dir() and e.name[0] != ".")
    except OSError:
        return
    for name in names[:_LOOKED_AT]:
        yield place / name
