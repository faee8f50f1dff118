"""Laws of the index: what a search with it finds, how it grows, and what damage does to it."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import vfeat
from tests.engine.jobs import tree
from tests.search.made import WIDTH, add_file, brute_force, make, vectors
from tests.tables.test_index import Crash, dying
from vfeat.errors import JobError
from vfeat.search import index_build, recall
from vfeat.search.answer import Answer
from vfeat.search.dataset import Dataset
from vfeat.search.index_build import IndexReport, bring_up_to_date
from vfeat.search.index_file import PARTS, About, finish, open_index, open_local
from vfeat.search.published import index_numbers
from vfeat.storage.root import Root
from vfeat.tables import layout

Rows = list[tuple[str, int]]


def two_files(folder: Path, dtype: str) -> Path:
    """Make a dataset of two files of fifteen videos each."""
    root = make(folder, dtype)
    for number in range(2):
        add_file(root, number, vectors(15, number))
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = two_files(tmp_path_factory.mktemp("index") / "out", "bfloat16")
    bring_up_to_date(vfeat.open(str(folder)))
    return folder


@pytest.fixture
def out(indexed: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(indexed, tmp_path / "out"))


def index_path(out: Path) -> Path:
    """The file of the only index."""
    [path] = (out / layout.SEARCH).iterdir()
    return path


def look_through_everything(out: Path) -> None:
    """Let a search with the index miss nothing."""
    path = index_path(out)
    about = open_local(path, "index").about
    finish(path, About(**{**vars(about), "probes": about.lists}))


def rows_of(answer: Answer) -> list[Rows]:
    return [[(hit.uri, hit.clip_index) for hit in hits] for hits in answer.hits]


def scores_of(answer: Answer) -> list[list[float]]:
    return [[hit.score for hit in hits] for hits in answer.hits]


def queries(count: int, seed: int = 9) -> np.ndarray:
    return vectors(count, seed)[:: vectors(1, 0).shape[0]]


def answer(out: Path, asked: np.ndarray, k: int = 10, *, exact: bool = False) -> Answer:
    return vfeat.open(str(out)).answer(asked, k, exact=exact)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_order_is_that_of_exact_search(tmp_path: Path, dtype: str) -> None:
    out = two_files(tmp_path / "out", dtype)
    bring_up_to_date(vfeat.open(str(out)))
    look_through_everything(out)
    asked = queries(30)
    found, exact = answer(out, asked), answer(out, asked, exact=True)
    assert (found.indexed_clips, found.exact_clips) == (3000, 0)
    assert (exact.indexed_clips, exact.exact_clips) == (0, 3000)
    assert rows_of(found) == rows_of(exact)
    np.testing.assert_allclose(scores_of(found), scores_of(exact), atol=1e-6)
    uri, clip, score = brute_force(out, asked[0], 1)[0]
    assert rows_of(found)[0][0] == (uri, clip)
    assert found.hits[0][0].score == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("k", [1, 10, 60])
def test_it_finds_what_it_measured(indexed: Path, k: int) -> None:
    """The recall holds for clips that it was not measured with, and for more hits than ten."""
    index = open_index(Root(str(indexed)), layout.search_index_key(1))
    assert index.about.recall is not None and index.about.recall >= recall.TARGET
    assert index.about.queries == recall.QUERIES
    assert index.about.probes < index.about.lists
    asked = np.asarray(index.part("vectors")[5::17], np.float32)
    found, exact = answer(indexed, asked, k), answer(indexed, asked, k, exact=True)
    right = sum(
        min(k, sum(score >= wanted[-1] - 1e-6 for score in scores))
        for scores, wanted in zip(scores_of(found), scores_of(exact), strict=True)
    )
    assert right / (k * len(asked)) >= 0.95
    assert found.recall == index.about.recall


def test_more_hits_than_rows_are_all_rows(indexed: Path) -> None:
    [hits] = answer(indexed, queries(1), 5000).hits
    assert len({(hit.uri, hit.clip_index) for hit in hits}) == len(hits) == 3000


def test_clips_newer_than_the_index_are_found(out: Path) -> None:
    new = vectors(1, 77)
    add_file(Root(str(out)), 2, new)
    found = answer(out, new[[40]])
    assert rows_of(found)[0][0] == ("/made/2-0.mp4", 40)
    assert (found.indexed_clips, found.exact_clips) == (3000, 100)
    assert "100 clips that are newer than it exactly" in found.describe()
    assert not [uri for uri, _ in rows_of(answer(out, -new[[40]]))[0] if uri == "/made/2-0.mp4"]


def test_growing_finds_what_building_anew_finds(out: Path) -> None:
    root = Root(str(out))
    add_file(root, 2, vectors(6, 2))
    before = open_local(index_path(out), "index").part("centroids").copy()
    report = bring_up_to_date(vfeat.open(str(out)))
    assert (report.clips, report.added, report.made_anew) == (3600, 600, None)
    assert (open_local(index_path(out), "index").part("centroids") == before).all()
    look_through_everything(out)
    asked = queries(30, 3)
    grown = answer(out, asked)
    report = bring_up_to_date(vfeat.open(str(out)), rebuild=True)
    assert (report.clips, report.added, report.made_anew) == (3600, 3600, "--rebuild")
    look_through_everything(out)
    anew, exact = answer(out, asked), answer(out, asked, exact=True)
    assert grown.indexed_clips == anew.indexed_clips == 3600
    assert rows_of(grown) == rows_of(anew) == rows_of(exact)


def test_lists_are_made_anew_when_the_dataset_has_doubled(out: Path) -> None:
    add_file(Root(str(out)), 2, vectors(31, 2))
    report = bring_up_to_date(vfeat.open(str(out)))
    assert report.clips == report.added == 6100
    assert report.made_anew and "grown" in report.made_anew
    assert open_local(index_path(out), "index").about.trained_rows == 6100


def test_an_index_that_holds_everything_is_left_alone(out: Path) -> None:
    before = tree(out)
    report = bring_up_to_date(vfeat.open(str(out)))
    assert (report.clips, report.added, report.made_anew) == (3000, 0, None)
    assert report.recall >= recall.TARGET
    assert tree(out) == before


def test_files_that_were_replaced_or_deleted_are_not_found_as_they_were(out: Path) -> None:
    root, old = Root(str(out)), vectors(15, 1)
    key = add_file(root, 1, vectors(3, 50), again=True)
    asked = np.concatenate([old[[100]], vectors(3, 50)[[7]]])
    for indexed_clips in (1500, 1800):
        found = answer(out, asked)
        assert found.indexed_clips == indexed_clips
        assert rows_of(found)[1][0] == ("/made/1-0.mp4", 7)
        assert scores_of(found)[0] == pytest.approx(
            scores_of(answer(out, asked, exact=True))[0], abs=1e-6
        )
        bring_up_to_date(vfeat.open(str(out)))
    root.delete(key)
    found = answer(out, asked)
    assert (found.indexed_clips, found.exact_clips) == (1500, 0)
    assert all(uri.startswith("/made/0-") for uri, _ in rows_of(found)[1])


def test_a_file_that_is_being_replaced_is_searched_exactly(out: Path) -> None:
    """Its size may be the same as before: the marker decides."""
    root = Root(str(out))
    root.create_bytes(layout.marker_key("p00001-00001"), b"")
    found = answer(out, queries(1))
    assert (found.indexed_clips, found.exact_clips) == (1500, 1500)


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_a_killed_writer_leaves_an_index_that_serves(
    out: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the new one is published, before the old one is deleted, and after that."""
    root, new = Root(str(out)), vectors(2, 5)
    add_file(root, 2, new)
    if after < 0:
        monkeypatch.setattr(Root, "create_file", lambda *_: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash), dying(max(after, 0)):
        bring_up_to_date(vfeat.open(str(out)))
        raise Crash  # after all
    monkeypatch.undo()
    found = answer(out, new[[150]])
    assert rows_of(found)[0][0] == ("/made/2-1.mp4", 50)
    assert found.notice is None
    assert found.indexed_clips == (3000 if after < 0 else 3200)
    report = bring_up_to_date(vfeat.open(str(out)))
    assert report.clips == 3200 and report.added == (200 if after < 0 else 0)
    assert len(index_numbers(vfeat.open(str(out)))) == 1


def test_of_two_writers_one_index_stands(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(str(out))
    add_file(root, 2, vectors(2, 5))
    real, beaten = Root.create_file, []

    def create_file(self: Root, key: str, path: Path) -> bool:
        if not beaten and key.startswith(layout.SEARCH):
            beaten.append(key)
            bring_up_to_date(vfeat.open(str(out)))
        return real(self, key, path)

    monkeypatch.setattr(Root, "create_file", create_file)
    report = bring_up_to_date(vfeat.open(str(out)))
    assert beaten and report.clips == 3200 and report.added == 0
    assert index_path(out).name == "00002.index"


def test_a_reader_goes_on_with_the_next_index(out: Path) -> None:
    dataset = vfeat.open(str(out))
    assert dataset.answer(queries(1)).indexed_clips == 3000
    add_file(Root(str(out)), 2, vectors(2, 5))
    bring_up_to_date(vfeat.open(str(out)))
    assert dataset.answer(queries(1)).indexed_clips == 3200


def test_a_damaged_index_gives_no_wrong_answer(out: Path) -> None:
    """Whatever byte is another, or missing: what is found has its true score."""
    path = index_path(out)
    good, asked = path.read_bytes(), queries(1)
    truth = {(uri, clip): score for uri, clip, score in brute_force(out, asked[0], 3000)}
    about = open_local(path, "index").about
    places = [about.offsets[name] + 5 for name in PARTS]
    places += [0, about.end + 3, len(good) - 3, len(good) - 12]
    places += np.random.default_rng(1).integers(0, len(good), 20).tolist()
    noticed = 0
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 0x41
        path.write_bytes(bad)
        found = answer(out, asked)
        for hit in found.hits[0]:
            assert hit.score == pytest.approx(truth[hit.uri, hit.clip_index], abs=1e-5), place
        assert len(found.hits[0]) == 10
        noticed += found.notice is not None
    for length in (0, 7, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        found = answer(out, asked)
        assert found.notice and "vfeat index" in found.notice
        assert found.exact_clips == 3000
    assert noticed >= 6
    report = bring_up_to_date(vfeat.open(str(out)))
    assert report.made_anew and "not a readable index" in report.made_anew
    assert answer(out, asked).notice is None


def test_a_damaged_row_is_not_taken_over(out: Path) -> None:
    path = index_path(out)
    about = open_local(path, "index").about
    with path.open("r+b") as file:
        file.seek(about.offsets["vectors"] + about.size_bytes("vectors") // 2)
        file.write(b"\x12\x34\x56")
    add_file(Root(str(out)), 2, vectors(2, 5))
    report = bring_up_to_date(vfeat.open(str(out)))
    assert report.made_anew and "checksum of a row" in report.made_anew


def test_an_index_of_another_recipe_is_not_used(out: Path, tmp_path: Path) -> None:
    other = two_files(tmp_path / "other", "float32")
    (other / layout.SEARCH).mkdir()
    shutil.copy(index_path(out), other / layout.SEARCH)
    found = answer(other, queries(1))
    assert found.notice and "another recipe" in found.notice and found.exact_clips == 3000
    assert answer(other, queries(1), exact=True).notice is None
    report = bring_up_to_date(vfeat.open(str(other)))
    assert report.made_anew and "another recipe" in report.made_anew
    assert answer(other, queries(1)).indexed_clips == 3000


def test_an_index_of_other_rows_is_found_out(out: Path) -> None:
    """Files of the same size and other videos: the hits are compared with what is stored."""
    path = index_path(out)
    index = open_local(path, "index")
    videos = np.array(index.part("videos"))[::-1].copy()
    about = index.about
    with path.open("r+b") as file:
        file.seek(about.offsets["videos"])
        file.write(videos.tobytes())
    finish(path, About(**{**vars(about), "checks": about.checks | {"videos": zlib.crc32(videos)}}))
    found = answer(out, queries(1))
    assert found.notice and "another video" in found.notice and found.exact_clips == 3000


def test_too_low_a_recall_is_a_warning(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vfeat.cli.index import index

    for module in (recall, index_build):
        monkeypatch.setattr(module, "TARGET", 1.01)
    index(str(out), rebuild=True)
    printed = capsys.readouterr()
    assert "Warning: the index finds" in printed.err and "recall@10" in printed.out
    about = open_local(index_path(out), "index").about
    assert about.probes == about.lists  # nothing was left untried


def test_vectors_without_direction_are_like_nothing(tmp_path: Path) -> None:
    rows = vectors(2, 1)
    rows[50], rows[51] = 0, np.nan
    root = make(tmp_path / "out")
    add_file(root, 0, rows)
    bring_up_to_date(vfeat.open(str(tmp_path / "out")))
    [hits] = answer(tmp_path / "out", rows[[10]], 200).hits
    assert [hit.score for hit in hits[-2:]] == [-1, -1]
    assert {hit.clip_index for hit in hits[-2:]} == {50, 51}


def test_a_query_of_another_width_is_refused(indexed: Path) -> None:
    with pytest.raises(JobError, match=f"width {WIDTH}, the query has 7"):
        vfeat.open(str(indexed)).search(np.ones(7))


def test_the_guide_describes_the_file() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "search.md").read_text()
    for name in (*PARTS, *(f.name for f in fields(About)), *(f.name for f in fields(IndexReport))):
        assert f"`{name}`" in guide, name


def test_kept_vectors_give_the_same_answers_within_their_limit(out: Path) -> None:
    asked = queries(7)
    kept_bytes = []
    for limit in (1, 1500 * WIDTH * 4, 1 << 30):
        dataset: Dataset = vfeat.open(str(out), keep_bytes=limit)
        for _ in range(2):
            found = dataset.answer(asked, exact=True)
            assert rows_of(found) == rows_of(answer(out, asked, exact=True))
        assert dataset._kept is not None and dataset._kept.bytes <= limit
        kept_bytes.append(dataset._kept.bytes)
    assert kept_bytes[0] == 0 < kept_bytes[1] <= kept_bytes[2]
    add_file(dataset.root, 1, vectors(3, 50), again=True)
    found = dataset.answer(asked, exact=True)
    assert rows_of(found) == rows_of(answer(out, asked, exact=True))
    assert found.exact_clips == 1800
