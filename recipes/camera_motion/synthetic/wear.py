"""Wear of pictures by cameras, tapes and editors; none of it is motion.

Legend: T frames, H, W pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from recipes.camera_motion.synthetic.scenes import U8, to_u8


def worn(rng: np.random.Generator, frames_THWC: U8) -> U8:
    """Add grain, drifting exposure, black bars, a caption and held frames, each by chance."""
    frames = frames_THWC
    if rng.random() < 0.15:
        frames = _held(rng, frames)
    if rng.random() < 0.3:
        frames = _exposed(rng, frames)
    if rng.random() < 0.1:
        frames = _barred(rng, frames)
    if rng.random() < 0.12:
        frames = _captioned(rng, frames)
    if rng.random() < 0.5:
        frames = _grainy(rng, frames)
    return frames


def _held(rng: np.random.Generator, frames: U8) -> U8:
    """Show frames twice, or drop some and show the one before again."""
    index = np.arange(len(frames))
    if rng.random() < 0.5:
        index = index // 2 * 2
    else:
        index = np.maximum.accumulate(np.where(rng.random(len(frames)) < 0.12, 0, index))
    return frames[index]


def _exposed(rng: np.random.Generator, frames: U8) -> U8:
    """Let the brightness drift or flicker a little."""
    u_T = np.linspace(0, 1, len(frames))
    drift_T = 1 + rng.uniform(-0.15, 0.15) * u_T
    if rng.random() < 0.3:
        drift_T += rng.normal(0, 0.02, len(frames))
    bright = frames.astype(np.float32) * drift_T[:, None, None, None].astype(np.float32)
    return to_u8(bright)


def _barred(rng: np.random.Generator, frames: U8) -> U8:
    """Add a letterbox or pillars."""
    frames = frames.copy()
    axis = 1 + int(rng.random() < 0.4)
    bar = int(frames.shape[axis] * rng.uniform(0.05, 0.16))
    sides = np.swapaxes(frames, 1, axis)
    sides[:, :bar] = 0
    sides[:, -bar:] = 0
    return frames


def _captioned(rng: np.random.Generator, frames: U8) -> U8:
    """Print still words on the picture."""
    frames = frames.copy()
    height, width = frames.shape[1:3]
    words = "".join(chr(c) for c in rng.integers(ord("A"), ord("Z") + 1, int(rng.integers(3, 16))))
    size = height * rng.uniform(0.0015, 0.006)
    where = int(width * rng.uniform(0.02, 0.5)), int(height * rng.choice([0.12, 0.9, 0.95]))
    tone = int(rng.choice([255, 230, 20]))
    for frame in frames:
        cv2.putText(frame, words, where, cv2.FONT_HERSHEY_SIMPLEX, size, (tone,) * 3, 1)
    return frames


def _grainy(rng: np.random.Generator, frames: U8) -> U8:
    """Add noise of film or of a sensor, new in each frame."""
    strength = rng.uniform(1, 14)
    # Standard normal values drawn once and shifted: a fresh draw for each frame is slow.
    grain = (rng.standard_normal(frames[0].size * 2) * strength).astype(np.int16)
    out = np.empty_like(frames)
    for index, frame in enumerate(frames):
        start = int(rng.integers(frame.size))
        noisy = frame.astype(np.int16) + grain[start : start + frame.size].reshape(frame.shape)
        out[index] = np.clip(noisy, 0, 255)
    return out
