"""How the picture moves: read from the table, turned by flips, learnt beside the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.train.encoder.jobs import tiny_job
from tests.train.encoder.students import batch, clips, config
from vfeat.corpus import Video
from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.optical_flow_head import FlowReader
from vfeat.train.encoder.data.augment import Augment
from vfeat.train.encoder.data.clip_list import Sample
from vfeat.train.encoder.data.epoch_order import Pick
from vfeat.train.encoder.data.footage import Footage
from vfeat.train.encoder.objectives.base import Classification, TrainBatch
from vfeat.train.encoder.objectives.optical_flow import UNIT, FlowClassification, FlowTable
from vfeat.video_facts import Timeline

SHAPE = config(num_frames=4, tubelet_size=2, img_size=48)  # 2 tubelets of 3 x 3 patches
RATE = 8
CENTRES = np.array([-1 / 3, 0, 1 / 3])


def table_job(folder: Path, maps: dict[str, np.ndarray], **fields: Any) -> TrainEncoderJob:
    """A job of clips of 4 frames in one second, with this truth."""
    values = [np.asarray(m, np.float32).ravel() for m in maps.values()]
    table = {"uri": list(maps), "rate": [float(RATE)] * len(maps), "maps": values}
    pq.write_table(pa.table(table), folder / "flow.parquet")
    flow = {"flow": str(folder / "flow.parquet"), "flow_loss": 1.0}
    shape = {"num_frames": 4, "clip_seconds": 1.0}
    return tiny_job("clips.csv", folder / "out", **flow | shape | fields)


def pick(uri: str, clip_index: int = 0) -> Pick:
    line = Timeline(1, 8, 0, 16, 16)
    return Pick(Footage(Sample(0, Video(uri, 1, ""), 0), line, 0, 3), clip_index)


def drift(x: float, y: float, moments: int = 33) -> np.ndarray:
    """Content that goes so far in each moment."""
    steps = np.arange(moments)[:, None]
    maps = np.zeros((moments, 2, 3))
    maps[:, :, :2] = np.eye(2)
    maps[:, :, 2] = steps * (x, y)
    return maps


def true_flow(job: TrainEncoderJob, *picks: Pick) -> np.ndarray:
    """In shares of the picture, BTSS2."""
    return UNIT * np.sinh(FlowTable(job, SHAPE).of(picks).numpy())


def test_content_that_drifts(tmp_path: Path) -> None:
    """Frames of a tubelet are 0.25 s apart: two moments of a table with eight a second."""
    job = table_job(tmp_path, {"a.mp4": drift(0.01, -0.02), "b.mp4": drift(0, 0)})
    flow = true_flow(job, pick("s3://bucket/a.mp4", 1), pick("/some/where/b.mp4"))
    assert flow.shape == (2, 2, 3, 3, 2)
    np.testing.assert_allclose(flow[0], np.broadcast_to([0.02, -0.04], (2, 3, 3, 2)), rtol=1e-3)
    assert np.abs(flow[1]).max() < 1e-9


def test_content_that_grows(tmp_path: Path) -> None:
    maps = drift(0, 0)
    maps[:, :, :2] *= 1.1 ** np.arange(33)[:, None, None]
    flow = true_flow(table_job(tmp_path, {"a.mp4": maps}), pick("a.mp4"))[0]
    grown = 1.1**2 - 1
    for tubelet in flow:
        np.testing.assert_allclose(tubelet[1, :, 0], grown * CENTRES, atol=1e-5)
        np.testing.assert_allclose(tubelet[:, 1, 1], grown * CENTRES, atol=1e-5)


def test_a_transition_is_unknown(tmp_path: Path) -> None:
    maps = drift(0.01, 0)
    maps[2] = np.nan  # a moment between the first two frames, at 1/8 s and 3/8 s
    flow = true_flow(table_job(tmp_path, {"a.mp4": maps}), pick("a.mp4"), pick("a.mp4", 1))
    assert np.isnan(flow[0, 0]).all()
    assert not np.isnan(flow[0, 1]).any() and not np.isnan(flow[1]).any()


def test_tables_that_cannot_be(tmp_path: Path) -> None:
    job = table_job(tmp_path, {"a.mp4": drift(0, 0)})
    with pytest.raises(JobError, match=r"has no row for other\.mp4"):
        FlowTable(job, SHAPE).of([pick("other.mp4")])
    pq.write_table(pa.table({"uri": ["a.mp4"]}), tmp_path / "flow.parquet")
    with pytest.raises(JobError, match="expected a Parquet table with the columns uri, rate"):
        FlowTable(job, SHAPE)
    (tmp_path / "flow.parquet").write_text("not Parquet")
    with pytest.raises(JobError, match=r"flow\.parquet: expected a Parquet table"):
        FlowTable(job, SHAPE)


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "reverse"])
def test_flips_turn_the_flow(tmp_path: Path, flip: str) -> None:
    """As the clip that is flipped would have it."""
    maps = drift(0.013, -0.02)
    maps[:, :, :2] *= 1.02 ** np.arange(33)[:, None, None]
    sign = {"horizontal": (-1, 1), "vertical": (1, -1), "reverse": (1, 1)}[flip]
    mirror = np.diag([*sign, 1.0])
    flipped = np.stack([mirror[:2, :2] @ m @ mirror for m in maps])
    if flip == "reverse":  # of the second that is seen, eight moments
        flipped = flipped[:9][::-1]
    job = table_job(tmp_path, {"a.mp4": maps, "b.mp4": flipped}, label_swaps={flip: {}})
    table, augment = FlowTable(job, SHAPE), Augment(job, ("a", "b"))
    expected = table.of([pick("b.mp4")])
    found = []
    for seed in range(12):
        frames = torch.randint(0, 256, (1, 4, 48, 48, 3), dtype=torch.uint8)
        found.append(augment(frames, [0], [seed], table.of([pick("a.mp4")])).flow)
    distances = [float((flow - expected).abs().max()) for flow in found if flow is not None]
    assert min(distances) < (0.3 if flip == "reverse" else 1e-4)  # of displacements up to 2
    assert max(distances) > 1


def test_the_loss_is_a_mean_over_clips_of_what_is_known() -> None:
    torch.manual_seed(0)
    model = FlowReader(SHAPE)
    objective = FlowClassification(model, 0.0, 0.5, flow_loss=3.0)
    given = batch(clips(count=3, size=48))
    flow = torch.randn(3, 2, 3, 3, 2)
    flow[1], flow[2, 0] = torch.nan, torch.nan
    losses, given_B = objective(TrainBatch(given.video_BCTSS, given.target_BK, flow))
    read = model.read_flow(model.forward_tokens(given.video_BCTSS)).detach()
    by_clip = [torch.nn.functional.smooth_l1_loss(read[0], flow[0]), torch.tensor(0.0)]
    by_clip.append(torch.nn.functional.smooth_l1_loss(read[2, 1], flow[2, 1]))
    assert given_B.shape == (3,)
    told = {name: float(loss.detach()) for name, loss in losses.items()}
    assert told["flow"] == pytest.approx(float(sum(by_clip)) / 3, rel=1e-5)
    plain = float(Classification(model, 0.0, 0.5)(given).by_name["loss"].detach())
    assert told["loss"] == pytest.approx(plain + 3 * told["flow"], rel=1e-5)
    unknown = TrainBatch(given.video_BCTSS, given.target_BK, torch.full_like(flow, torch.nan))
    losses = objective(unknown).by_name
    losses["loss"].backward()
    assert float(losses["flow"].detach()) == 0 and model.flow_head.weight.grad is not None
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"flow_loss": 1.0}, "flow_loss needs flow"),
        ({"flow": "flow.parquet"}, "flow is for flow_loss"),
        ({"flow": "f", "flow_loss": 1.0, "mixup": 0.5}, "without mixup"),
        ({"flow": "f", "flow_loss": 1.0, "sampling": "sparse"}, "dense clips"),
        (
            {"flow": "f", "flow_loss": 1.0, "objective": "masked", "teacher": "folder"},
            "for objective classification",
        ),
    ],
    ids=str,
)
def test_jobs_that_cannot_be(fields: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=sentence):
        tiny_job("clips.csv", tmp_path, **fields)
