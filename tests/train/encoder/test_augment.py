"""Augmentations: what a flip does to labels, and that a clip's frames are treated alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train.encoder.jobs import SWAPS, tiny_job
from tests.train.encoder.moving import STEPS, moving_frames
from vfeat.errors import JobError
from vfeat.job.recipe import IMAGENET_MEAN, IMAGENET_STD, FrameSpec
from vfeat.media.frames import normalise
from vfeat.train.encoder.data.augment import Augment, channels_first, normalised, read_flips

CLASSES = (*sorted(STEPS), "still")


def augment(**fields: Any) -> Augment:
    return Augment(tiny_job("clips.csv", Path("out"), **fields), CLASSES)


def random_clips(count: int, seed: int = 0) -> Tensor:
    """uint8 BTSSC whose frames differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 4, 32, 32, 3), dtype=torch.uint8, generator=generator)


def direction(frames_TSSC: Tensor) -> str:
    """Where the square goes, from where its middle is in the first frames."""
    bright_TSS = frames_TSSC.float().amax(-1) > 90
    places = [mask.nonzero().float().mean(0) for mask in bright_TSS[:2]]
    y, x = (places[1] - places[0]).tolist()
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "down" if y > 0 else "up"


def test_flips_exchange_the_labels_that_the_motion_shows() -> None:
    rng = np.random.default_rng(4)
    apply = augment(label_swaps=SWAPS)
    seen = set()
    for seed in range(60):
        label = sorted(STEPS)[seed % 4]
        frames = moving_frames(rng, label, 3)
        # Squares that wrap around the edge have no middle to follow.
        if direction(torch.from_numpy(frames)) != label:
            continue
        batch = torch.from_numpy(frames)[None].clone()
        target_K = apply(batch, [CLASSES.index(label)], [seed]).target_BK[0]
        assert CLASSES[int(target_K.argmax())] == direction(batch[0])
        seen.add((label, direction(batch[0])))
    assert {b for _, b in seen} == set(STEPS) and len(seen) >= 6


def test_labels_that_are_not_named_stay() -> None:
    frames = random_clips(40)
    still = CLASSES.index("still")
    target_BK = augment(label_swaps=SWAPS)(frames, [still] * 40, range(40)).target_BK
    assert (target_BK.argmax(1) == still).all()


@pytest.mark.parametrize(
    ("swaps", "sentence"),
    [
        ({"horizontal": {"left": "east"}}, "no label east"),
        ({"reverse": {"left": "right", "up": "left"}}, "left is named twice"),
    ],
)
def test_wrong_swaps_are_refused(swaps: dict[str, dict[str, str]], sentence: str) -> None:
    with pytest.raises(JobError, match=sentence):
        read_flips(tiny_job("clips.csv", Path("out"), label_swaps=swaps), CLASSES)


def test_without_augmentation_a_clip_is_what_extraction_makes_of_it() -> None:
    frames = random_clips(3)
    expected = torch.from_numpy(normalise(frames.numpy(), FrameSpec(32))).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(normalised(channels_first(frames)), expected)
    batch = augment()(frames.clone(), [0, 1, 2], [7, 8, 9])
    torch.testing.assert_close(batch.video_BCTSS, expected, rtol=0, atol=2e-5)
    assert batch.target_BK.argmax(1).tolist() == [0, 1, 2]


def test_colours_depend_on_the_clip_and_not_on_its_batch() -> None:
    apply = augment(jitter=0.5, gray=0.5, label_swaps=SWAPS)
    frames = random_clips(6)
    together = apply(frames.clone(), [0] * 6, range(6)).video_BCTSS
    for place in (0, 5):
        alone = apply(frames[place : place + 1].clone(), [0], [place]).video_BCTSS
        torch.testing.assert_close(alone[0], together[place])


def test_gray_clips_have_one_colour() -> None:
    video = augment(gray=1.0)(random_clips(2), [0, 0], [1, 2]).video_BCTSS
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = video * std + mean
    torch.testing.assert_close(pixels[:, 0], pixels[:, 2], rtol=0, atol=1e-5)
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6 and pixels.std() > 0.1


@pytest.mark.parametrize("name", ["rand_augment", "random_erasing"])
def test_all_frames_of_a_clip_are_treated_alike(name: str) -> None:
    pytest.importorskip("kornia")
    still = random_clips(4)[:, :1].expand(-1, 5, -1, -1, -1).contiguous()
    apply = augment(**{name: 9 if name == "rand_augment" else 1.0})
    changed = 0
    for seed in range(6):
        torch.manual_seed(seed)
        video = apply(still.clone(), [0] * 4, range(4)).video_BCTSS
        torch.testing.assert_close(video, video[:, :, :1].expand_as(video))
        changed += not torch.allclose(video, normalised(channels_first(still)), atol=1e-3)
    assert changed >= 4


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_targets_are_mixed_as_the_pixels_are(name: str) -> None:
    """Clips of one colour each: the mean of a mixed clip tells the shares."""
    pytest.importorskip("kornia")
    values = torch.tensor([0, 50, 100, 150, 250], dtype=torch.uint8)
    frames = values.view(5, 1, 1, 1, 1).expand(5, 4, 32, 32, 3)
    apply = augment(**{name: 1.0})
    mixed = 0
    for seed in range(5):
        torch.manual_seed(seed)
        batch = apply(frames.clone(), range(5), range(5))
        mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        shown_B = (batch.video_BCTSS * std + mean).mean((1, 2, 3, 4)) * 255
        torch.testing.assert_close(batch.target_BK @ values.float(), shown_B, rtol=0, atol=0.5)
        torch.testing.assert_close(batch.target_BK.sum(1), torch.ones(5))
        mixed += int((batch.target_BK.amax(1) < 1).sum())
    assert mixed > 5
