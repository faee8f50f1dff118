"""Writing a report: what is found at an address, as one HTML file."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vfeat.errors import StorageError
from vfeat.report.dataset_part import DatasetPart, dataset_part
from vfeat.report.found import find_parts
from vfeat.report.page import render
from vfeat.report.training import read_training

VIDEOS = 120  # opened for pictures by default


@dataclass(frozen=True)
class Written:
    """The result of a report.

    Attributes:
        pictures, placeholders: clips that are shown, and those that could not be.
        is_sampled: rows were sampled.
    """

    path: str
    size_bytes: int
    datasets: int
    trainings: int
    videos: int
    rows_read: int
    pictures: int
    placeholders: int
    is_sampled: bool


def write_report(uri: str, to: str | None = None, most_videos: int = VIDEOS) -> Written:
    """Write the report on a dataset, a training, or a folder with several of them.

    Args:
        to: the file; default: `NAME-report.html` in the working directory.
        most_videos: videos that are opened for pictures, of each dataset.

    Raises:
        JobError: there is nothing to report on.
        StorageError: a dataset cannot be read, or the file cannot be written.
    """
    found = find_parts(uri)
    datasets = [dataset_part(root, most_videos) for root in found.datasets]
    trainings = [
        read_training(root, root.uri.rstrip("/").rpartition("/")[2]) for root in found.trainings
    ]
    name = uri.rstrip("/").rpartition("/")[2] or "vfeat"
    path = Path(to or f"{name}-report.html")
    content = render(name, datasets, trainings).encode()
    _replace(path, content)
    return _written(path, content, datasets, len(trainings))


def _written(path: Path, content: bytes, datasets: list[DatasetPart], trainings: int) -> Written:
    pictures = sum(part.album.shown for part in datasets)
    return Written(
        str(path.absolute()), len(content), len(datasets), trainings,
        sum(part.total_videos for part in datasets), sum(p.sample.rows for p in datasets), pictures,
        sum(len(part.album.pictures) for part in datasets) - pictures,
        any(part.sample.is_sampled for part in datasets),
    )  # fmt: skip


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what is there."""
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except OSError:
            os.unlink(partial)
            raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}); name another file with --to"
        ) from None
