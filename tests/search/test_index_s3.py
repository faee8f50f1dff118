"""An index in a bucket: made, searched by ranges, grown."""

from __future__ import annotations

import numpy as np
import pytest

import vfeat
from tests.search.made import add_file, make, vectors
from vfeat.search import index_file
from vfeat.search.index_build import bring_up_to_date
from vfeat.search.index_file import IndexFile
from vfeat.search.published import index_numbers


def test_an_index_in_a_bucket(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(f"{bucket}/out")
    add_file(root, 0, vectors(30, 0))
    dataset = vfeat.open(f"{bucket}/out")
    report = bring_up_to_date(dataset)
    assert report.clips == 3000 and report.recall >= 0.95 and report.uri.startswith("s3://")
    monkeypatch.setattr(index_file, "_GAP_BYTES", 256)  # as if the rows lay far from each other
    read: list[int] = []
    real = IndexFile._bytes

    def counted(self: IndexFile, first: int, count: int) -> np.ndarray:
        read.append(count)
        return real(self, first, count)

    monkeypatch.setattr(IndexFile, "_bytes", counted)
    asked = vectors(3, 9)[::100]
    found, exact = dataset.answer(asked), dataset.answer(asked, exact=True)
    assert found.indexed_clips == exact.exact_clips == 3000
    for hits, best in zip(found.hits, exact.hits, strict=True):
        assert hits[0].score == pytest.approx(best[0].score, abs=1e-6)
    assert 0 < sum(read) < report.size_bytes / 2
    new = vectors(2, 5)
    add_file(root, 1, new)
    assert dataset.answer(new[[50]]).exact_clips == 200
    report = bring_up_to_date(vfeat.open(f"{bucket}/out"))
    assert (report.clips, report.added, report.made_anew) == (3200, 200, None)
    assert index_numbers(dataset) == [2]
    [hits] = dataset.answer(new[[50]]).hits  # the open one was deleted
    assert (hits[0].uri, hits[0].clip_index) == ("/made/1-0.mp4", 50)
