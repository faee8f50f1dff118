"""Laws of partial copies, on vectors of invented videos."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tests.duplicates.films import (
    CLIP_S,
    F32,
    STRIDE_S,
    WIDTH,
    Content,
    clips_of,
    film,
    found,
    own,
    pairs,
)  # fmt: skip
from vfeat.duplicates import candidates
from vfeat.duplicates.background import prepare, usual_likeness
from vfeat.duplicates.candidates import nearest
from vfeat.duplicates.clips import Clips
from vfeat.duplicates.find import silent
from vfeat.duplicates.segments import best_run
from vfeat.duplicates.weights import weigh


def independent(count: int, first_seed: int = 100) -> dict[str, F32]:
    return {f"other{n:02}": film(60, own(first_seed + n)) for n in range(count)}


@pytest.mark.parametrize("speed", [1.0, 0.8, 0.9, 1.1, 1.25])
@pytest.mark.parametrize("offset_s", [0, 17])
def test_a_planted_copy_is_found_with_its_times(speed: float, offset_s: float) -> None:
    source = Content(1, 90)
    length_s = 24.0
    videos = {
        **independent(8),
        "a": film(80, (source, 0, 80, 0, 1.0)),
        "b": film(60, own(2), (source, offset_s, length_s, 30, speed)),
    }
    result = found(videos)
    assert pairs(result) == {("a", "b")}
    [segment] = result.segments
    assert segment.a_start_s == pytest.approx(30, abs=CLIP_S)
    assert segment.a_end_s == pytest.approx(30 + length_s * speed, abs=CLIP_S)
    assert segment.b_start_s == pytest.approx(offset_s, abs=CLIP_S)
    assert segment.b_end_s == pytest.approx(offset_s + length_s, abs=CLIP_S)
    assert segment.speed == pytest.approx(1 / speed, abs=0.05)


def test_two_parts_of_one_video_are_two_segments() -> None:
    source = Content(1, 90)
    videos = {
        **independent(6),
        "a": film(80, (source, 0, 80, 0, 1.0)),
        "b": film(60, own(2), (source, 5, 15, 50, 1.0), (source, 35, 15, 10, 1.0)),
    }
    spans = sorted((s.a_start_s, s.b_start_s) for s in found(videos).segments)
    assert spans == [pytest.approx((10, 35), abs=CLIP_S), pytest.approx((50, 5), abs=CLIP_S)]


def test_independent_videos_share_nothing() -> None:
    assert found(independent(25)).segments == []


def test_an_intro_of_all_joins_none() -> None:
    """Find the one true copy, and no group with a third member."""
    intro, source = Content(3, 20), Content(4, 60)
    videos = {f"v{n:02}": film(60, own(200 + n), (intro, 0, 10, 0, 1.0)) for n in range(12)}
    videos["copy"] = film(60, own(5), (intro, 0, 10, 0, 1.0), (source, 20, 20, 10, 1.0))
    videos["origin"] = film(60, (source, 0, 60, 0, 1.0), (intro, 0, 10, 0, 1.0))
    result = found(videos)
    assert pairs(result) == {("copy", "origin")}
    assert [len(group) for group in result.groups.stretches] == [2]
    assert result.recurring_clips >= 12 * 6


def test_black_frames_are_no_copy() -> None:
    """Not even in two videos only: a stretch on which nothing changes is no evidence."""
    black = np.full((15, WIDTH), 0.5, np.float32)
    videos = independent(8)
    for name, at in (("other00", 5), ("other01", 30)):
        videos[name][at : at + 15] = black + 1e-3 * np.random.default_rng(at).normal(size=WIDTH)
    assert found(videos).segments == []


def test_vectors_without_a_direction_harm_nothing() -> None:
    source = Content(1, 90)
    videos = {
        **independent(6),
        "a": film(80, (source, 0, 80, 0, 1.0)),
        "b": film(60, own(2), (source, 10, 30, 20, 1.0)),
    }
    videos["other00"][3], videos["other01"][4] = np.nan, np.inf
    videos["b"][20] = np.nan  # in the middle of the copy
    [segment] = found(videos).segments
    assert (segment.b_start_s, segment.b_end_s) == pytest.approx((10, 40), abs=CLIP_S)


def test_a_copy_of_the_whole_is_a_group_of_videos_with_its_intro() -> None:
    intro, source = Content(3, 20), Content(4, 60)
    videos = {f"v{n:02}": film(60, own(200 + n), (intro, 0, 10, 0, 1.0)) for n in range(12)}
    videos["whole"] = film(60, (source, 0, 60, 0, 1.0), (intro, 0, 10, 0, 1.0))
    videos["whole again"] = film(60, (source, 0, 60, 0, 1.0), (intro, 0, 10, 0, 1.0))
    result = found(videos)
    assert pairs(result) == {("whole", "whole again")}
    [members] = result.groups.videos
    assert [result.clips.uris[m] for m in members] == ["whole", "whole again"]
    [segment] = result.segments
    assert segment.a_start_s == 0 and segment.a_end_s == 60


def test_groups_go_through_a_stretch_and_not_through_a_video() -> None:
    """B has one part of A and another part of C: A and C have nothing in common."""
    one, two = Content(1, 60), Content(2, 60)
    videos = {
        **independent(8),
        "a": film(50, (one, 0, 50, 0, 1.0)),
        "b": film(60, own(3), (one, 5, 15, 20, 1.0), (two, 35, 15, 20, 1.0)),
        "c": film(50, (two, 0, 50, 0, 1.0)),
        "d": film(60, own(4), (one, 30, 15, 20, 1.0)),
    }
    result = found(videos)
    assert pairs(result) == {("a", "b"), ("b", "c"), ("a", "d"), ("b", "d")}
    groups = [{result.clips.uris[s.video] for s in g} for g in result.groups.stretches]
    assert sorted(map(sorted, groups)) == [["a", "b", "d"], ["b", "c"]]


def test_against_finds_across_and_not_within() -> None:
    source = Content(1, 90)
    videos = {
        **independent(8),
        "a": film(80, (source, 0, 80, 0, 1.0)),
        "b": film(60, own(2), (source, 10, 20, 20, 1.0)),
        "c": film(60, own(3), (source, 30, 20, 20, 1.0)),
    }
    assert pairs(found(videos)) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert pairs(found(videos, asked=["a", "b", "other00"])) == {("a", "c"), ("b", "c")}


def random_clips(videos: int, rows: int = 60, seed: int = 8) -> Clips:
    draw = np.random.default_rng(seed)
    vectors = {f"{n:05}": draw.normal(size=(rows, WIDTH)).astype(np.float32) for n in range(videos)}
    return prepare(clips_of(vectors), silent)


def test_candidates_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size."""
    monkeypatch.setattr(candidates, "_QUERY_ROWS", 37)
    monkeypatch.setattr(candidates, "_BASE_ROWS", 91)
    clips = random_clips(12, 20)
    hits = nearest(clips, np.zeros(240, np.float32), 5, silent)
    likeness = clips.vectors_ND @ clips.vectors_ND.T
    likeness[clips.video_N[:, None] == clips.video_N] = -1
    expected = {(a, b) for a in range(240) for b in np.argsort(-likeness[a])[:5]}
    assert {(int(a), int(b)) for a, b in zip(hits.asked_H, hits.found_H, strict=True)} == expected


def test_the_inverted_file_finds_what_all_pairs_find(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    source = Content(1, 90)
    videos = {
        **independent(15),
        "a": film(80, (source, 0, 80, 0, 1.0)),
        "b": film(60, own(2), (source, 10, 25, 20, 1.1)),
    }
    exact = found(videos)
    monkeypatch.setattr(candidates, "EXACT_UP_TO", 0)
    probed = found(videos)
    assert pairs(exact) == pairs(probed) == {("a", "b")}
    [one], [other] = exact.segments, probed.segments
    assert one.a_start_s == pytest.approx(other.a_start_s, abs=STRIDE_S)
    assert one.b_end_s == pytest.approx(other.b_end_s, abs=STRIDE_S)


def test_hits_and_memory_are_linear_in_clips() -> None:
    """Beyond the vectors themselves: twice the clips, at most twice the rest, and no pairs."""
    peaks, counts = [], []
    for videos in (40, 80, 160):
        clips = random_clips(videos)
        tracemalloc.start()
        usual_N = usual_likeness(clips, silent)
        hits = nearest(clips, usual_N, 48, silent)
        weigh(clips, hits, 8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        counts.append(len(hits.asked_H) / len(clips.video_N))
    assert max(counts) <= 48
    assert all(after < 2.5 * before for before, after in pairwise(peaks)), peaks
    assert peaks[-1] < (160 * 60) ** 2 * 4, "no matrix of all pairs of clips"


def test_the_best_run_is_that_of_brute_force() -> None:
    draw = np.random.default_rng(4)
    for _ in range(200):
        gains = draw.normal(-0.2, 1, draw.integers(1, 12)).round(1)
        spans = [(i, j) for i in range(len(gains)) for j in range(i + 1, len(gains) + 1)]
        most = max(0.0, *(float(gains[i:j].sum()) for i, j in spans))
        assert float(gains[best_run(gains)].sum()) == pytest.approx(most)
