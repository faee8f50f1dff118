"""Protocol between a decoder and the clip assembler, and the table of decoders."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from vfeat.errors import EnvironmentMissing, JobError
from vfeat.job.recipe import DecodeLimits, FrameSpec
from vfeat.media.source import Progress, Source
from vfeat.outcome import FALLBACK
from vfeat.video_facts import Timeline

if TYPE_CHECKING:
    from torch import Tensor

    from vfeat.media.devices.base import Device
    from vfeat.media.samples import Samples

RGB = npt.NDArray[np.uint8]
# Prepared pictures, uint8 VHWC; those of a device lie in its memory.
Pixels: TypeAlias = "npt.NDArray[np.uint8] | Tensor"


@dataclass(frozen=True)
class Frame:
    """One decoded picture, not yet converted.

    Attributes:
        tick: display time on the video's continued timeline.
        to_rgb: returns the displayed (rotated) picture, uint8 HWC; costs time.
        sar: shape of a displayed pixel, width to height.
        prepared: returns the picture as the model takes it, prepared where it lies; None: it lies
            in main memory, and `to_rgb` is the way to it.
    """

    tick: int
    to_rgb: Callable[[], RGB]
    sar: Fraction = Fraction(1)
    prepared: Callable[[FrameSpec], Pixels] | None = None


@dataclass
class DecodeStats:
    """Statistics of a decoder; read when the unit is done."""

    frames_decoded: int = 0
    bad_packets: int = 0
    warnings: list[str] = field(default_factory=list)
    complaint: str = ""  # the decoder library's last message about a bad packet


def complaint_of(stats: DecodeStats) -> str:
    """Return the end of a message: the decoder library's complaint, if there is one."""
    return f"; FFmpeg reports: {stats.complaint}" if stats.complaint else ""


def instead_of(name: str, uri: str, why: str) -> str:
    """Return the warning that PyAV decodes a file on the CPU instead of the recipe's decoder.

    Args:
        name: of the recipe's decoder.
    """
    return f"{uri}: {FALLBACK} {name}: {why}"


class Decoder(Protocol):
    """Frames of one video's default stream, in presentation order."""

    stats: DecodeStats

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end.

        Raises:
            UnitError: the video cannot be decoded or read on.
        """

    def skip_to(self, tick: int) -> None:
        """Skip forward to the frame on display at `tick` if that is cheaper than decoding on.

        This is a hint: no frame before that one is needed any more.
        """

    def promised(self, after: int, until: int) -> int:
        """Count the packets read so far that begin in (after, until]: frames that should exist.

        Args:
            after, until: ticks.
        """

    def end_tick(self) -> int:
        """Return the end of the last packet's display; valid at the end of the stream."""

    def interval(self) -> int:
        """Return the typical number of ticks between two frames; at least 1."""

    def rest(self) -> None:
        """Stop decoding ahead, if it does: no frame will be requested for a while."""

    def close(self) -> None:
        """Release all resources."""


@runtime_checkable
class SparingDecoder(Protocol):
    """A decoder that can leave out pictures that no clip takes; any other decodes them all."""

    def spare(self, samples: Samples) -> None:
        """Accept the moments that matter, before the first frame is read.

        The frame on display at each of them is to come as before. Others may be missing.
        """


@dataclass(frozen=True)
class DecodeRequest:
    """Arguments that a decoder is built from.

    Attributes:
        source: the video.
        timeline: its times.
        limits: budgets of decoding.
        progress: called with the byte of the file that reading has reached, at least once a second.
            Only a new high counts, so that the parent ends a decoder that runs in circles.
        device: the GPU that this process decodes with; None: it has none.
    """

    source: Source
    timeline: Timeline
    limits: DecodeLimits
    progress: Progress
    device: Device | None = None


DecoderFactory = Callable[[DecodeRequest], Decoder]
_Factory = TypeVar("_Factory", bound=DecoderFactory)
_MARK = "vfeat_reads_paths"

_BUILT_IN = {
    "pyav": ("av", "vfeat.media.decoders.pyav:PyavDecoder", "av"),
    "nvdec": ("av", "vfeat.media.decoders.nvdec:NvdecDecoder", "av"),
    "decord": ("decord", "vfeat.media.decoders.decord:open_decord", "decord"),
    "torchcodec": (
        "torchcodec",
        "vfeat.media.decoders.torchcodec:open_torchcodec",
        "vfeat[torchcodec]",
    ),
}


def opens_paths(factory: _Factory) -> _Factory:
    """Mark a factory whose library takes no file objects; a decorator.

    Its child may read every file of this user, and its `source.path` is a path. Other decoders read
    `source.open()`, and no other file.
    """
    setattr(factory, _MARK, True)
    return factory


def reads_paths(factory: object) -> bool:
    """Return whether a factory is marked by `opens_paths`."""
    return bool(getattr(factory, _MARK, False))


def check_decoder(name: str) -> None:
    """Refuse a decoder that this machine cannot run, without importing it.

    Raises:
        JobError: no such decoder.
        EnvironmentMissing: its package is not installed.
    """
    if name in _BUILT_IN:
        package, _, install = _BUILT_IN[name]
    elif ":" in name:
        package = install = name.partition(":")[0]
    else:
        raise JobError(
            f"decoder {name!r}: expected one of {', '.join(_BUILT_IN)}, or module:object"
        )
    try:
        found = importlib.util.find_spec(package) is not None
    except ImportError:
        found = False
    if not found:
        raise EnvironmentMissing(
            f"decoder {name!r} needs the package {package!r}: pip install '{install}'"
        )


def load_decoder(name: str) -> DecoderFactory:
    """Load the factory behind a name: built in, or a user's own `module:object`.

    Raises:
        JobError: no such decoder, or the module lacks the object.
        EnvironmentMissing: its package is not installed.
    """
    check_decoder(name)
    target = _BUILT_IN[name][1] if name in _BUILT_IN else name
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise JobError(f"decoder {name!r}: {module} has no {attribute!r}") from error
    return cast(DecoderFactory, found)
