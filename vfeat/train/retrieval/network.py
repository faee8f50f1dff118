"""The network that a training of words begins with, from the job's model, weights and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from vfeat.errors import JobError
from vfeat.job.train_retrieval import PACKAGED, TrainRetrievalJob
from vfeat.models.adapt import fit_state
from vfeat.models.checkpoint import load_checkpoint
from vfeat.models.factory import create_model
from vfeat.models.retrieval.config import RetrievalConfig
from vfeat.models.retrieval.factory import create_retrieval
from vfeat.models.retrieval.network import Retrieval
from vfeat.models.retrieval.preparation import RETRIEVAL_CLIP, RETRIEVAL_FRAME
from vfeat.models.retrieval.text_tower import TextTower, TextTowerConfig
from vfeat.models.train_record import trained_on
from vfeat.models.videomamba import VideoMamba
from vfeat.models.videomamba_config import model_info, resolve_config
from vfeat.models.videomamba_shape import VideoMambaConfig
from vfeat.models.weights import RANDOM, stored_config, weights_digest
from vfeat.train.retrieval.frozen import Embed

PACKAGED_WEIGHTS = "box:videomamba_motion"
ANY_SIZE = "videomamba"
SIDE, HEAD = "text_encoder.", "head."
# Parts of the video side that no checkpoint of clips alone has.
FRESH = ("clip_decoder.", "pool_norm.")
OF_CLIPS = {field.name for field in fields(VideoMambaConfig)}
OF_WORDS = {field.name for field in fields(RetrievalConfig)} - OF_CLIPS
NOT_OPTIONS = ("vocabulary", "joint_dim", "fusion_layer")  # of words alone


def settle(job: TrainRetrievalJob) -> TrainRetrievalJob:
    """Return the job with its packaged weights named, and the weights' own clips and frames.

    Raises:
        JobError, EnvironmentMissing, StorageError: the weights cannot be used.
    """
    if job.weights == PACKAGED:
        job = job.model_copy(update={"weights": PACKAGED_WEIGHTS, "model": ANY_SIZE})
    weights = None if job.weights == RANDOM else job.weights
    is_dual = isinstance(model_info(job.model).config, RetrievalConfig)
    default = (RETRIEVAL_CLIP, RETRIEVAL_FRAME) if is_dual else (None, None)
    settled = job.settled(*trained_on(weights, *default))
    if is_dual or not settled.freeze_vision:
        return settled
    wrong = sorted(settled.model_options.keys() & set(NOT_OPTIONS))
    if wrong:
        raise JobError(f"model_options: {', '.join(wrong)}: follows from the clips' vectors here")
    return settled


def vision_digest(job: TrainRetrievalJob) -> str:
    """Return the digest of the weights to start from, as a recipe holds it; empty without any."""
    return "" if job.weights is None else weights_digest(job.weights)


def check_shape(job: TrainRetrievalJob, vocabulary: int) -> RetrievalConfig:
    """Return the sizes of the network that is trained.

    Args:
        job: settled.
        vocabulary: number of words.

    Raises:
        JobError: an unknown model or option, or a size that its patches do not divide.
    """
    if job.freeze_vision:
        return _tower_config(job, vocabulary)
    if not isinstance(model_info(job.model).config, RetrievalConfig):
        raise JobError(
            f"{job.model} has no text side; train retrieval takes videomamba_middle_mm, or "
            "videomamba_mm for any size. With --freeze-vision words alone are trained beside it"
        )
    config = resolve_config(job.model, _dual_options(job, vocabulary), _stored(job))
    assert isinstance(config, RetrievalConfig)
    if config.img_size % config.patch_size or (config.num_frames or 1) % config.tubelet_size:
        raise JobError(
            f"{job.model} cuts frames into patches of {config.patch_size} pixels and tubelets of "
            f"{config.tubelet_size} frames: --size {job.size} and --num-frames {job.num_frames} "
            "must be multiples"
        )
    return config


def make_dual(job: TrainRetrievalJob, vocabulary: int) -> Retrieval:
    """Create the dual encoder; from weights of clips alone, words begin fresh.

    Raises:
        JobError, EnvironmentMissing, StorageError: the weights cannot be used.
    """
    options = _dual_options(job, vocabulary)
    if job.weights is None or job.weights == RANDOM or _has_words(job.weights):
        return create_retrieval(job.model, weights=job.weights, **options)
    config = check_shape(job, vocabulary)
    known = {field.name for field in fields(RetrievalConfig)}
    model = create_retrieval(job.model, **{n: v for n, v in vars(config).items() if n in known})
    side = model.vision_encoder
    own = side.state_dict()
    state = {key: tensor for key, tensor in own.items() if key.startswith(FRESH)}
    found = load_checkpoint(job.weights).state
    state |= {key: tensor for key, tensor in found.items() if not key.startswith(HEAD)}
    side.load_state_dict(fit_state(job.weights, state, {k: t.shape for k, t in own.items()}))
    return model


def make_tower(job: TrainRetrievalJob, vocabulary: int) -> TextTower:
    """Create fresh words for the vectors of frozen clips."""
    return TextTower(_tower_config(job, vocabulary))


def make_frozen(job: TrainRetrievalJob, device: torch.device) -> Embed:
    """Load the network of the clips; return the function that `vfeat extract` embeds with."""
    options = {name: value for name, value in job.model_options.items() if name in OF_CLIPS}
    size = {"img_size": job.size, "num_frames": job.num_frames}
    if isinstance(model_info(job.model).config, RetrievalConfig):
        dual = create_retrieval(job.model, weights=job.weights, **options, **size).eval()
        moved = dual.to(device)
        return lambda video_BCTSS: moved.embed_video(video_BCTSS).embedding_BP
    clips = create_model(job.model, weights=job.weights, **options, **size).eval().to(device)
    assert isinstance(clips, VideoMamba)

    def embed(video_BCTSS: Tensor) -> Tensor:
        return clips.forward_features(video_BCTSS)

    return embed


def _tower_config(job: TrainRetrievalJob, vocabulary: int) -> TextTowerConfig:
    """Return the sizes of words alone; the layers that attend to clips are left out."""
    stored = _stored(job)
    options = {name: value for name, value in job.model_options.items() if name in OF_CLIPS}
    clips = resolve_config(job.model, options, stored)
    is_dual = isinstance(clips, RetrievalConfig)
    width = clips.joint_dim if isinstance(clips, RetrievalConfig) else clips.embed_dim
    words = {name: value for name, value in job.model_options.items() if name not in OF_CLIPS}
    unknown = sorted(words.keys() - OF_WORDS)
    if unknown:
        raise JobError(f"model_options: {', '.join(unknown)}: no option of clips or words")
    if is_dual:
        own = {n: getattr(clips, n) for n in OF_WORDS}
        words = {**own, **words}
    config = TextTowerConfig(
        **{**words, "joint_dim": width, "vocabulary": vocabulary}, finds=vision_digest(job)
    )
    # `check` expects frames and a layer that attends to clips; words alone have neither.
    replace(config, fusion_layer=config.text_depth - 1, num_frames=1).check("words alone")
    return replace(config, fusion_layer=config.text_depth)


def _dual_options(job: TrainRetrievalJob, vocabulary: int) -> dict[str, int]:
    assert job.size is not None and job.num_frames is not None  # settled
    own = {"img_size": job.size, "num_frames": job.num_frames, "vocabulary": vocabulary}
    return {**job.model_options, **own}


def _stored(job: TrainRetrievalJob) -> Mapping[str, Any] | None:
    return None if job.weights in (None, RANDOM) else stored_config(job.weights)


def _has_words(weights: str) -> bool:
    return any(key.startswith(SIDE) for key in load_checkpoint(weights).state)
