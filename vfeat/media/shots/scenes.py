"""PySceneDetect's content and adaptive detectors, fed with our frames and their own times.

Both compare the mean colour (HSV) of a frame's pixels with that of the frame before; `adaptive`
compares that difference with its mean over four frames around. The package's reading of videos is
not used.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import cv2
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detector import SceneDetector
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from vfeat.media.shots.detectors import RGB, DetectorFactory

_LONG_SIDE = 256  # pixels, as PySceneDetect's own downscaling has it
_RATE = Fraction(25, 1)  # of no consequence beside exact times


class SceneCuts:
    """Cuts by one of PySceneDetect's detectors."""

    def __init__(self, detector: SceneDetector, tick_s: Fraction) -> None:
        self._detector = detector
        self._tick_s = tick_s

    def fit(self, height: int, width: int) -> tuple[int, int]:
        longest = max(height, width, _LONG_SIDE)
        return (
            max(1, round(height * _LONG_SIDE / longest)),
            max(1, round(width * _LONG_SIDE / longest)),
        )

    def add(self, tick: int, picture_HWC: RGB) -> list[int]:
        moment = FrameTimecode(Timecode(pts=tick, time_base=self._tick_s), fps=_RATE)
        picture = cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2BGR)
        return [cut.pts for cut in self._detector.process_frame(moment, picture)]

    def finish(self) -> list[int]:
        return []


def load_content() -> DetectorFactory:
    """Return the factory of the content detector."""
    return _factory(lambda threshold: ContentDetector(threshold=threshold, min_scene_len=0))


def load_adaptive() -> DetectorFactory:
    """Return the factory of the adaptive detector."""
    return _factory(lambda threshold: AdaptiveDetector(threshold, min_scene_len=0))


def _factory(make: Callable[[float], SceneDetector]) -> DetectorFactory:
    # The least length of a shot is applied to all detectors alike, behind them.
    return lambda threshold, tick_s: SceneCuts(make(threshold), tick_s)
