"""Random crops: the pixels of the box, and how they move in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.encoder.jobs import tiny_job
from tests.train.encoder.test_flow import SHAPE, drift, pick, table_job
from vfeat.errors import JobError
from vfeat.train.encoder.data.augment import Augment
from vfeat.train.encoder.data.crop import Box, crop_flow, crop_video, draw_box
from vfeat.train.encoder.objectives.optical_flow import FlowTable


def test_boxes_lie_in_the_picture_and_reach_all_of_it() -> None:
    rng = np.random.default_rng(3)
    boxes = [draw_box(rng, 100, 0.2) for _ in range(2000)]
    assert {box.side for box in boxes} == set(range(80, 101))
    ends = [end for box in boxes for end in (box.top + box.side, box.left + box.side)]
    starts = [start for box in boxes for start in (box.top, box.left)]
    assert (min(starts), max(starts), min(ends), max(ends)) == (0, 20, 80, 100)
    assert abs(np.mean([box.top + box.side / 2 for box in boxes]) - 50) < 0.5


def test_the_box_fills_the_picture() -> None:
    """Of a picture whose brightness is a plane, which bilinear resizing does not change."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    time_T11 = torch.arange(3.0)[:, None, None]
    plane_TSS = 2 * rows - columns + 10 * time_T11
    video = torch.stack([plane_TSS, plane_TSS + 5]).expand(2, 2, 3, 40, 40).clone()
    crop_video(video, [Box(6, 10, 20), Box(0, 0, 40)])
    assert torch.equal(video[1, 0], plane_TSS)
    y, x = (start + (rows + 0.5) / 2 - 0.5 for start in (6, 10))
    expected_TSS = 2 * y - x.T + 10 * time_T11
    inner = (slice(None), slice(1, -1), slice(1, -1))  # its border repeats the last pixel
    torch.testing.assert_close(video[0, 0][inner], expected_TSS[inner])


def test_the_flow_is_that_of_the_clip_seen_through_the_box(tmp_path: Path) -> None:
    maps = drift(0.013, -0.02)
    maps[:, :, :2] *= 1.02 ** np.arange(33)[:, None, None]
    maps[:, 0, 1] = 0.01 * np.arange(33)
    box = Box(8, 2, 36)
    middle = (np.array([box.left, box.top]) + box.side / 2) / 48 - 0.5
    through = maps.copy()
    through[:, :, 2] -= middle
    through *= 48 / box.side
    unknown = maps.copy()
    unknown[2] = np.nan  # in the first tubelet
    table = FlowTable(table_job(tmp_path, {"a": maps, "b": through, "c": unknown}), SHAPE)
    flow, expected = table.of([pick("a"), pick("c"), pick("a")]), table.of([pick("b"), pick("a")])
    crop_flow(flow, [box, box, Box(0, 0, 48)], 48)
    torch.testing.assert_close(flow[0], expected[0], rtol=1e-4, atol=1e-4)
    assert flow[1, 0].isnan().all()
    torch.testing.assert_close(flow[1, 1], expected[0, 1], rtol=1e-4, atol=1e-4)
    assert torch.equal(flow[2], expected[1])


def test_a_crop_depends_on_the_clip_and_not_on_its_batch() -> None:
    apply = Augment(tiny_job("clips.csv", Path("out"), random_crop=0.5), ("a", "b"))
    frames = torch.randint(0, 256, (6, 4, 32, 32, 3), dtype=torch.uint8)
    plain = Augment(tiny_job("clips.csv", Path("out")), ("a", "b"))
    together = apply(frames.clone(), [0] * 6, range(6)).video_BCTSS
    alone = apply(frames[4:5].clone(), [0], [4]).video_BCTSS
    torch.testing.assert_close(alone[0], together[4])
    assert not torch.allclose(together, plain(frames, [0] * 6, range(6)).video_BCTSS, atol=0.1)


def test_a_batch_is_cropped_with_its_flow(tmp_path: Path) -> None:
    """A drift of the whole picture is longer in a box, by as much as the box is shorter."""
    job = table_job(tmp_path, {"a": drift(0.02, 0.01)}, random_crop=0.5)
    flow = FlowTable(job, SHAPE).of([pick("a")] * 8)
    before = flow.sinh()
    frames = torch.randint(0, 256, (8, 4, 48, 48, 3), dtype=torch.uint8)
    found = Augment(job, ("a", "b"))(frames, [0] * 8, range(8), flow).flow
    assert found is not None
    grown = (found.sinh() / before).flatten(1)
    torch.testing.assert_close(grown, grown[:, :1].expand_as(grown))
    torch.testing.assert_close(48 / grown[:, 0], (48 / grown[:, 0]).round(), rtol=0, atol=1e-3)
    assert grown.min() >= 0.999 and 1.3 < grown.max() <= 2.001


def test_all_frames_have_the_same_box() -> None:
    still = torch.randint(0, 256, (4, 1, 32, 32, 3), dtype=torch.uint8).repeat(1, 5, 1, 1, 1)
    apply = Augment(tiny_job("clips.csv", Path("out"), random_crop=0.5), ("a", "b"))
    video = apply(still, [0] * 4, range(4)).video_BCTSS
    torch.testing.assert_close(video, video[:, :, :1].expand_as(video))


def test_a_crop_of_nothing_is_refused() -> None:
    with pytest.raises(JobError, match="random_crop"):
        tiny_job("clips.csv", Path("out"), random_crop=1.0)
