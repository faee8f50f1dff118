"""Detection of standing cameras in real footage, by registration of the background.

ORB features, and the similarity that most of them follow from a window's first frame to later
ones (RANSAC, OpenCV): people and cars in front are outliers.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

STANDS = 0.02
"""Share of the picture's width by which the fastest corner of a standing camera moves in two
seconds, at most."""
CHANGED = 12.0
"""Gray levels between the registered pictures, for half of the pixels: more is a dissolve."""
MATCHES, FOLLOWING = 60, 40
"""Features that must be found again, and those that must agree on where the background went."""


def creep(frames: Sequence[U8]) -> float | None:
    """Measure the greatest way of a corner from the first frame to a later one, in widths.

    None where too few features are found again: a cut, a dissolve, a bare wall, somebody near.

    Args:
        frames: uint8 [H, W, 3], of one shot.
    """
    height, width = frames[0].shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    features = [_features(frame) for frame in frames]
    farthest = 0.0
    for frame, later in zip(frames[1:], features[1:], strict=True):
        similarity = _similarity(features[0], later)
        if similarity is None or _change(frames[0], frame, similarity) > CHANGED:
            return None
        moved = corners @ similarity[:, :2].T + similarity[:, 2] - corners
        farthest = max(farthest, float(np.abs(moved).max()) / width)
    return farthest


def _change(first: U8, later: U8, similarity: npt.NDArray[np.float64]) -> float:
    """Return the median difference between the moved first frame and the later one."""
    height, width = later.shape[:2]
    moved = cv2.warpAffine(first, similarity, (width, height)).astype(np.float32)
    return float(np.median(np.abs(moved - later)))


_Features = tuple[Sequence[cv2.KeyPoint], U8 | None]


def _features(frame: U8) -> _Features:
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.ORB_create(1500).detectAndCompute(gray, None)  # type: ignore[attr-defined,no-any-return]


def _similarity(first: _Features, later: _Features) -> npt.NDArray[np.float64] | None:
    """Estimate scale, rotation and shift of the background, 2 x 3."""
    if first[1] is None or later[1] is None:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first[1], later[1])
    if len(pairs) < MATCHES:
        return None
    here = np.array([first[0][pair.queryIdx].pt for pair in pairs])
    there = np.array([later[0][pair.trainIdx].pt for pair in pairs])
    found, follows = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=2)
    if found is None or int(follows.sum()) < FOLLOWING:
        return None
    return np.asarray(found, dtype=np.float64)
