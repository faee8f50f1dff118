"""Teachers are worth having: what is learned with them, beside the same network without.

The clips are stripes that drift in one of eight directions (`gratings.py`), too noisy and too
many-coloured to be told apart from a few hundred examples. Every comparison has the same
starting values, clips, order, steps and rates on both sides; three seeds, each with its own
clips and values, and all are tested on the same 1000 clips. Chance is 12.5 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.train.encoder.gratings import DIRECTIONS, FRAMES, SIZE, Clips, draw_clips
from tests.train.encoder.jobs import tiny_job
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models import save_model
from vfeat.train.encoder.objectives.base import Objective, TrainBatch
from vfeat.train.encoder.objectives.factory import make_objective
from vfeat.train.encoder.optimizer import learning_rate, parameter_groups, set_learning_rate

BATCH = 32
SEEDS = (0, 1, 2)
NETWORK = {"depth": 2, "patch_size": 8, "tubelet_size": 1}
SHARED: dict[str, Any] = {
    "num_frames": FRAMES, "size": SIZE, "epochs": 1, "warmup_epochs": 0.1, "batch_size": BATCH,
}  # fmt: skip

pytestmark = pytest.mark.slow


def train(seed: int, clips: Clips, steps: int, width: int = 48, **fields: Any) -> Objective:
    """A network trained by a job's objective and recipe, on clips without a feed."""
    options = NETWORK | {"embed_dim": width}
    job = tiny_job("clips.csv", Path("out"), **SHARED | {"model_options": options} | fields)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*The head is untrained.*")
        objective = make_objective(job, DIRECTIONS).train()
    optimise(objective, job, clips, steps, seed)
    return objective.eval()


def optimise(
    objective: Objective, job: TrainEncoderJob, clips: Clips, steps: int, seed: int
) -> None:
    """So many steps, in an order that only the seed decides."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(parameter_groups(objective, job, NETWORK["depth"]))
    learning = [p for p in objective.parameters() if p.requires_grad]
    for step in range(steps):
        set_learning_rate(optimizer, learning_rate(job, step, steps))
        picked = torch.randint(len(clips.direction_B), (BATCH,), generator=order)
        target_BK = F.one_hot(clips.direction_B[picked], DIRECTIONS).float()
        loss = objective(TrainBatch(clips.video_BCTSS[picked], target_BK)).by_name["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, job.clip_norm)
        optimizer.step()


@torch.no_grad()
def top1(objective: Objective, clips: Clips) -> float:
    """Share of the clips whose direction is told."""
    logits = [objective.model(part) for part in clips.video_BCTSS.split(250)]
    return float((torch.cat(logits).argmax(1) == clips.direction_B).float().mean())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second one, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def test_clips() -> Clips:
    return draw_clips(1000, seed=999)


def test_self_distillation_beats_the_same_network_without_it(
    test_clips: Clips, tmp_path: Path
) -> None:
    """A smaller network that was trained on 1600 clips helps a larger one that has 300.

    Measured: 39 % alone (34, 46, 38), 92 % taught (97, 86, 93); the teacher itself 95 %. What it
    has seen more of is what it passes on: a teacher of the same 400 clips as its student gained
    10 points on the mean of five seeds, and not in each.
    """
    teacher = train(0, draw_clips(1600, seed=500), steps=300, width=32, lr=3e-3)
    save_model(teacher.model, tmp_path)
    alone, taught = [], []
    for seed in SEEDS:
        clips = draw_clips(300, seed=1 + seed)
        alone.append(top1(train(seed, clips, 150, lr=3e-3), test_clips))
        distillation = {"objective": "distillation", "teacher": str(tmp_path)}
        student = train(seed, clips, 150, lr=3e-3, **distillation)
        taught.append(top1(student, test_clips))
    assert mean(taught) > mean(alone) + 0.2, (alone, taught)


def test_masked_pre_training_beats_training_from_scratch(test_clips: Clips, tmp_path: Path) -> None:
    """2000 clips without labels, then a tenth of them with, beside that tenth alone.

    The teacher was trained on other clips and for another question: the orientation of the
    stripes, which leaves two directions open; whoever knew no more would be right in half of
    the cases. From scratch is trained for as many steps as the fine-tuning has, and for as many
    as pre-training and fine-tuning have together; the better of the two counts.

    Measured: 93 % with pre-training (89, 95, 94), 24 % from scratch (21, 32, 20), 23 % from scratch
    in as many steps as both take together (18, 25, 26).
    """
    other = draw_clips(1600, seed=500)
    orientation = Clips(other.video_BCTSS, other.direction_B % 4)
    save_model(train(0, orientation, steps=300, width=32, lr=3e-3).model, tmp_path / "teacher")
    masked = {"objective": "masked", "teacher": str(tmp_path / "teacher"), "mask_ratio": 0.5}
    tuned, scratch, longer = [], [], []
    for seed in SEEDS:
        clips = draw_clips(2000, seed=1 + seed)
        tenth, folder = clips.part(200), str(tmp_path / f"{seed}")
        pretrained = train(seed, clips, 300, lr=3e-3, mask_kind="random", **masked)
        save_model(pretrained.model, folder)
        tuned.append(top1(train(seed, tenth, 100, lr=2e-3, weights=folder), test_clips))
        scratch.append(top1(train(seed, tenth, 100, lr=2e-3), test_clips))
        longer.append(top1(train(seed, tenth, 400, lr=2e-3), test_clips))
    assert mean(tuned) > max(mean(scratch), mean(longer)) + 0.3, (tuned, scratch, longer)
