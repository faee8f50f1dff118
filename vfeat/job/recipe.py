"""The parts of a recipe: what decides the numbers, as dataclasses that cross processes.

Standard library only: decoder children import this module, and must stay small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

Sampling = Literal["dense", "sparse"]
Resize = Literal["bilinear", "area", "bicubic"]
Fit = Literal["crop", "squash"]
Tokens = Literal["none", "frame", "patch"]
Dtype = Literal["float32", "bfloat16"]
Flip = Literal["horizontal", "vertical", "reverse"]
Level = Literal["clip", "frame", "patch"]  # what a step of a sequence is: an embedding, a token
HeadKind = Literal["classification", "multilabel", "regression"]
HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)
Triple = tuple[float, float, float]  # one value for each colour

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ClipSpec:
    """The grid of clips over a video; dense, clip k starts at k * stride_s.

    Attributes:
        num_frames: frames in a clip, at the centres of equal sub-intervals.
        clip_s: length of a clip's window, seconds of presentation time.
        stride_s: distance between the starts of two clips, seconds.
        sampling: `dense` lays clips every stride; `sparse` spreads the frames of a
            fixed number of clips over the whole video (the K400 and COIN protocol).
        sparse_clips: clips per video when sampling is sparse.
    """

    num_frames: int = 8
    clip_s: float = 2.0
    stride_s: float = 2.0
    sampling: Sampling = "dense"
    sparse_clips: int = 4

    @property
    def clip(self) -> Fraction:
        """Window length, exact: 0.1 means one tenth, not its nearest double."""
        return Fraction(repr(self.clip_s))

    @property
    def stride(self) -> Fraction:
        """Distance between two starts, exact."""
        return Fraction(repr(self.stride_s))


@dataclass(frozen=True)
class FrameSpec:
    """Preparation of a frame between the decoder and the model.

    Attributes:
        size: side of the square input of the model, pixels.
        resize: `bilinear` is OpenCV's without antialiasing, as the official evaluation
            has it; `area` antialiases; `bicubic` is that of the official multi-modal code,
            without antialiasing too.
        crops: 1 (centre) or 3 (along the long side; embeddings are averaged).
        square_pixels: apply the pixel aspect ratio before resizing.
        decoder: name of the decoder back-end; part of the numbers.
        mean, std: per channel, on values in [0, 1].
        fit: `crop` resizes the short side and cuts squares; `squash` resizes both sides, so that
            the whole picture is there and its proportions are not.
    """

    size: int = 224
    resize: Resize = "bilinear"
    crops: Literal[1, 3] = 1
    square_pixels: bool = False
    decoder: str = "pyav"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    fit: Fit = "crop"


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds that keep one bad file from costing more than itself.

    Attributes:
        timeout_s: longest time without progress before the child is killed.
        start_timeout_s: longest time until a fresh child sends its first message.
        max_frame_pixels: larger frames are refused by their header (`too_large`).
        memory_bytes: address space of a child (RLIMIT_AS).
        videos_per_child: a child is replaced after so many units (leaks).
        max_video_s: longer videos are refused (`too_large`), gaps included, seconds.
        max_video_clips: videos with more clips that are not empty are refused (`too_large`).
        spool_bytes: a remote file up to this size is downloaded before decoding when
            most of it is needed; larger ones are read by ranges.
    """

    timeout_s: float = 60.0
    start_timeout_s: float = 60.0
    max_frame_pixels: int = 8192 * 8192
    memory_bytes: int = 6 << 30
    videos_per_child: int = 200
    spool_bytes: int = 512 << 20
    max_video_s: float = 4e9
    max_video_clips: int = 10_000_000


@dataclass(frozen=True)
class ModelSpec:
    """A model with its weights and configuration.

    Attributes:
        name: name in the list of models, or `vit` for a checkpoint of the transformers library.
        weights: path or URI of the weights; for `vit` the folder or owner/repo@commit.
        config: free configuration, sorted by name.
    """

    name: str = "videomamba_tiny"
    weights: str | None = field(default=None, repr=False)  # may hold a signature
    config: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True)
class LabelSpec:
    """Names of the classes.

    Attributes:
        source: a packaged set of names, or where a list of them lies.
        digest: hash of the names; it is in the fingerprint, their location is not.
    """

    source: str
    digest: str


FLIP_DIMENSION: Mapping[Flip, int] = {"horizontal": 2, "vertical": 1, "reverse": 0}  # of THW


@dataclass(frozen=True)
class FlipSpec:
    """A clip mirrored or played backwards, and the class that it has then.

    Attributes:
        flip: the way in which the clip is turned.
        becomes: for each class its index afterwards; applied twice, it changes nothing.
    """

    flip: Flip
    becomes: tuple[int, ...]

    @property
    def dimension(self) -> int:
        """Index of the dimension of THW that is turned around."""
        return FLIP_DIMENSION[self.flip]


@dataclass(frozen=True)
class OutputSpec:
    """Columns of a row and the compute type.

    Attributes:
        tokens: `frame` keeps one token of each frame, `patch` every token.
        dtype: compute type; vectors are stored as float32, or float16 for bfloat16.
        top_k: labels kept, best first.
    """

    tokens: Tokens = "none"
    dtype: Dtype = "float32"
    top_k: int = 5
