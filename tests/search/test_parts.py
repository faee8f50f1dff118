"""Laws of the parts of a search: the best of a stream, cosines, moments, conditions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfeat.errors import JobError
from vfeat.search.best import Best
from vfeat.search.condition import COLUMNS, Condition
from vfeat.search.cosine import cosines, inverse_lengths, unit
from vfeat.search.hit import Hit
from vfeat.search.like import parse_like
from vfeat.search.moments import merge
from vfeat.tables.schema import LABELS


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.integers(-20, 20), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    k=st.integers(1, 12),
)
def test_the_best_of_a_stream_are_the_best_of_all(
    scores: list[int], cuts: list[int], k: int
) -> None:
    """In the order of a stable sort, wherever the stream is cut."""
    all_N = np.array(scores, np.float32)
    best = Best(1, k)
    edges = [0, *sorted(c for c in cuts if c < len(scores)), len(scores)]
    for first, end in pairwise(edges):
        best.add(all_N[first:end, None], first)
    expected = np.argsort(-all_N, kind="stable")[:k]
    assert best.rows_QK[0, : len(expected)].tolist() == expected.tolist()
    assert best.rows_QK[0, len(expected) :].tolist() == [-1] * (k - len(expected))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_cosines_agree_with_float64(kind: type) -> None:
    draw = np.random.default_rng(3)
    stored = draw.normal(size=(2500, 37)).astype(kind)
    queries = draw.normal(size=(3, 37)).astype(np.float32)
    wide = stored.astype(np.float64)
    expected = wide @ queries.T.astype(np.float64)
    expected /= np.linalg.norm(wide, axis=1)[:, None] * np.linalg.norm(queries, axis=1)
    found = np.concatenate([scores for _, scores in cosines(stored, unit(queries))])
    assert np.abs(found - expected).max() < 1e-6


def test_a_stored_vector_without_direction_is_like_nothing() -> None:
    stored = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [2, 0]], np.float32)
    [(_, scores)] = cosines(stored, unit(np.array([[1.0, 0.0]])))
    assert scores[:, 0].tolist() == [-1, -1, -1, 1]


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_query_without_direction_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        unit(np.array([bad]))


def hit(video: str, clip: int, score: float) -> Hit:
    return Hit(video, f"/a/{video}.mp4", clip, clip * 2.0, clip * 2.0 + 2, score)


def test_neighbours_of_one_video_are_one_moment() -> None:
    hits = [hit("a", 4, 0.9), hit("b", 5, 0.8), hit("a", 5, 0.95), hit("a", 7, 0.7)]
    hits += [hit("a", 20, 0.6)]
    moments = merge(hits)
    spans = [(m.best.video_id, m.start_s, m.end_s, m.clips, m.score) for m in moments]
    assert spans == [
        ("a", 8.0, 16.0, 3, 0.95),
        ("b", 10.0, 12.0, 1, 0.8),
        ("a", 40.0, 42.0, 1, 0.6),
    ]


ROWS = pa.table(
    {
        "video_id": ["v1", "v1", "v2"],
        "uri": ["/a/one.mp4", "/a/one.mp4", "/b/two.mp4"],
        "clip_index": pa.array([0, 1, 0], pa.int32()),
        "start_s": [0.0, 2.0, 0.0],
        "end_s": [2.0, 4.0, 2.0],
        "labels": pa.array(
            [[{"label": "pan", "score": 0.9}, {"label": "zoom", "score": 0.1}], [],
             [{"label": "zoom", "score": 0.6}]], LABELS,
        ),
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label = 'zoom'", [False, False, True]),
        ("label = 'pan' and start_s < 60", [True, False, False]),
        ("score > 0.5 or clip_index = 1", [True, True, True]),
        ("label is null", [False, True, False]),
        ("uri like '/a/%' and not label = 'pan'", [False, False, False]),
        ("list_contains(list_transform(labels, lambda x: x.label), 'zoom')", [True, False, True]),
        ("true -- whatever", [True, True, True]),
    ],
)
def test_a_condition_is_sql_over_the_columns(text: str, expected: list[bool]) -> None:
    assert Condition(text).holds(ROWS.select(list(COLUMNS))).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "colour = 'red'",
        "label = zoom_in",
        "true); copy stored to '/tmp/stolen.csv'; select (1",
        "true) union all (select 1",
        "exists (select * from read_csv('/etc/passwd'))",
        "exists (select * from '/etc/passwd')",
        "length(content) > 0 from read_text('/etc/hostname')",
        "exists (select * from duckdb_secrets())) and (exists (from read_text('/etc/passwd'))",
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns(text: str) -> None:
    with pytest.raises(JobError, match="--where"):
        Condition(text).holds(ROWS)


def test_like_needs_a_second() -> None:
    assert parse_like("s3://a@b/c.mp4@12.5") == ("s3://a@b/c.mp4", 12.5)
    for bad in ("a.mp4", "a.mp4@", "@3", "a.mp4@nan", "a.mp4@-1"):
        with pytest.raises(JobError, match="VIDEO@SECONDS"):
            parse_like(bad)


def test_every_float16_is_compared_as_the_number_that_it_is() -> None:
    """All 65,536 of them; those that are not finite are like nothing."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 1)
    stored = np.concatenate([every, np.ones_like(every)], axis=1)
    wide = stored.astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = wide[:, 0] / np.sqrt(wide[:, 0] ** 2 + 1)
    expected[~np.isfinite(wide[:, 0])] = -1
    query = unit(np.array([[1.0, 0.0]]))
    for inverse in (None, inverse_lengths(stored)):
        found = np.concatenate([scores for _, scores in cosines(stored, query, inverse)])
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6, atol=1e-12)
