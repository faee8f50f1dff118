"""`vfeat index`: an index of all committed clips, grown by what is new, or made anew."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass

from vfeat.errors import JobError, MachineFull, StorageError
from vfeat.search.clusters import Clusters, faiss, train
from vfeat.search.dataset import Dataset
from vfeat.search.index_file import About, IndexDamaged, IndexFile, finish, open_local
from vfeat.search.index_writer import OldRows, old_rows, write_index
from vfeat.search.new_rows import NewRows, VideoTable, read_new_rows
from vfeat.search.published import file_sizes, index_numbers, misfit
from vfeat.search.recall import TARGET, measured
from vfeat.storage.failures import MissingObject
from vfeat.storage.temporary import TemporaryFolder
from vfeat.tables import layout

GROWTH = 2.0  # lists are made anew when there are so many times the rows that they were made of
_TRIES = 3  # while another process publishes first


@dataclass(frozen=True)
class IndexReport:
    """What `vfeat index` did.

    Attributes:
        uri: public address of the index.
        clips: clips that the index holds.
        added: of these, the ones that are new.
        made_anew: why all of it is new; None where it was grown or holds everything.
        lists: lists that the clips stand in.
        probes: lists that a search looks through.
        recall: share of the exact ten nearest clips that a search finds, measured.
        queries: clips of the dataset that this was measured with.
        size_bytes: size of its file.
    """

    uri: str
    clips: int
    added: int
    made_anew: str | None
    lists: int
    probes: int
    recall: float
    queries: int
    size_bytes: int

    @property
    def is_below_target(self) -> bool:
        """Whether it finds less than it should."""
        return self.recall < TARGET


def bring_up_to_date(dataset: Dataset, *, rebuild: bool = False) -> IndexReport:
    """Let the index of a dataset hold all committed clips.

    Args:
        rebuild: make it anew, whatever there is.

    Raises:
        EnvironmentMissing: faiss is not installed.
        JobError: nothing is committed yet.
        MachineFull: a file could not be written under TMPDIR.
        StorageError: a file of the dataset cannot be read.
    """
    faiss()
    for _ in range(_TRIES):
        try:
            with TemporaryFolder("search") as folder:
                report = _attempt(dataset, folder, rebuild)
        except OSError as error:
            raise MachineFull(
                f"the index could not be written under {tempfile.gettempdir()}: {error}; free some "
                "space there or set TMPDIR, then run the same command again"
            ) from error
        if report is not None:
            return report
    raise StorageError(
        f"{dataset.root.url(layout.SEARCH)}: other processes published an index first, "
        f"{_TRIES} times; run the same command again when they have ended"
    )


def _attempt(dataset: Dataset, folder: str, rebuild: bool) -> IndexReport | None:
    """Return None when another process published an index meanwhile."""
    sizes = {key: size for key, size in file_sizes(dataset).items() if size >= 0}
    if not sizes:
        raise JobError(f"{dataset.root.uri} holds no committed rows yet; see `vfeat status`")
    numbers = index_numbers(dataset)
    try:
        old, reason = _older(dataset, numbers, folder) if numbers else (None, "there was none")
    except MissingObject:  # replaced since the listing
        return None
    if rebuild:
        old, reason = None, "--rebuild"
    if old is not None and {f.key: f.size_bytes for f in old.about.files} == sizes:
        _delete(dataset, numbers[:-1])  # a killed process left them
        return _report(dataset, numbers[-1], old.about, 0, None)
    path = os.path.join(folder, "index")
    about, added = None, 0
    if old is not None:
        try:
            about, added = _grow(dataset, old, sizes, path, folder)
            reason = None if about else "it has grown much since its lists were made"
        except IndexDamaged as error:
            reason = str(error)
    if about is None:
        about = _make(dataset, sizes, path, folder)
        added = about.rows
    about = measured(dataset, open_local(path, "the new index"))
    finish(path, about)
    number = numbers[-1] + 1 if numbers else 1
    if not dataset.root.create_file(layout.search_index_key(number), path):
        return None
    _delete(dataset, numbers)
    return _report(dataset, number, about, added, reason)


def _delete(dataset: Dataset, numbers: list[int]) -> None:
    dataset.root.delete_many(layout.search_index_key(number) for number in numbers)


def _older(
    dataset: Dataset, numbers: list[int], folder: str
) -> tuple[IndexFile | None, str | None]:
    """Return the newest index as a file of this machine, or why it is of no use."""
    root, key = dataset.root, layout.search_index_key(numbers[-1])
    path = root.local_path(key)
    if path is None:
        path_here = os.path.join(folder, "older")
        with root.open_input(key) as remote, open(path_here, "wb") as local:
            shutil.copyfileobj(remote, local, 16 << 20)
    else:
        path_here = str(path)
    try:
        index = open_local(path_here, root.url(key))
        _ = index.centroids_LD, index.spread_D, index.starts, index.video_ids
    except IndexDamaged as error:
        return None, str(error)
    reason = misfit(dataset, index)
    return (None, reason) if reason else (index, None)


def _grow(
    dataset: Dataset, old: IndexFile, sizes: dict[str, int], path: str, folder: str
) -> tuple[About | None, int]:
    """Write an index of the older one's rows and new ones; None where it is time to start anew."""
    kept: OldRows = old_rows(old, sizes)
    held = {file.key for file in kept.files}
    fresh = {key: size for key, size in sizes.items() if key not in held}
    videos = VideoTable(old.video_ids)
    new = read_new_rows(dataset, fresh, len(kept.files), videos, folder)
    if len(new) and (new.vectors_ND.shape[1], new.vectors_ND.dtype.name) != (
        old.about.width, old.about.dtype,
    ):  # fmt: skip
        return None, 0
    if len(kept.rows_K) + len(new) > GROWTH * old.about.trained_rows:
        return None, 0
    clusters = Clusters(old.centroids_LD, old.spread_D)
    about = write_index(
        path, old.about.fingerprint, clusters, old.about.trained_rows, kept, new, videos
    )
    return about, len(new)


def _make(dataset: Dataset, sizes: dict[str, int], path: str, folder: str) -> About:
    videos = VideoTable()
    new: NewRows = read_new_rows(dataset, sizes, 0, videos, folder)
    if not len(new):
        raise JobError(f"{dataset.root.uri} holds no committed rows yet; see `vfeat status`")
    clusters = train(new.vectors_ND)
    return write_index(path, dataset.recipe.fingerprint, clusters, len(new), None, new, videos)


def _report(
    dataset: Dataset, number: int, about: About, added: int, reason: str | None
) -> IndexReport:
    key = layout.search_index_key(number)
    size = dataset.root.list(layout.SEARCH).get(key.rpartition("/")[2], 0)
    assert about.recall is not None
    return IndexReport(
        dataset.root.url(key), about.rows, added, reason, about.lists, about.probes,
        about.recall, about.queries, size,
    )  # fmt: skip
