"""Which teacher a job means, made to fit the student's grid of tokens."""

from __future__ import annotations

from vfeat.errors import JobError
from vfeat.models import create_model
from vfeat.models.videomamba_config import VideoMambaConfig, resolve_config
from vfeat.models.vit import PREFIX, is_vit
from vfeat.models.weights import RANDOM, stored_config
from vfeat.train.encoder.objectives.frame_teacher import load_frame_teacher
from vfeat.train.encoder.objectives.teacher import Teacher, VideoTeacher
from vfeat.train.encoder.objectives.teacher_input import Sight


def load_teacher(
    name: str, weights: str | None, student: VideoMambaConfig, *, attends: bool = False
) -> Teacher:
    """A frozen teacher whose tokens are as many as the student's, on the CPU.

    Args:
        name: a VideoMamba of `vfeat models`, or `vit:FOLDER`, `vit:owner/repo`.
        weights: of a VideoMamba; a ViT has its own.
        student: whose tokens are to be said.
        attends: the class token's attention is needed.

    Raises:
        JobError: no weights where they are needed, a teacher whose tokens cannot be as many as
            the student's, or one without attention.
        EnvironmentMissing, StorageError: see `create_model` and `load_vit`.
    """
    if is_vit(name):
        return load_frame_teacher(name.removeprefix(PREFIX), student, attends).freeze()
    if weights is None or weights == RANDOM:
        raise JobError(
            f"The teacher {name} needs trained weights: give them as teacher, or take a vit: "
            "model as teacher_model"
        )
    if attends:
        raise JobError(
            f"mask_kind attention needs a teacher with attention, and {name} has none. Take a "
            "vit: model as teacher_model, or mask_kind tube or random"
        )
    return _video_teacher(name, weights, student).freeze()


def _video_teacher(name: str, weights: str, student: VideoMambaConfig) -> VideoTeacher:
    """Its embeddings are resized to the student's grid and length."""
    config = resolve_config(name, {}, stored_config(weights))
    if config.tubelet_size > student.tubelet_size:
        raise JobError(
            f"The teacher {weights} has tubelets of {config.tubelet_size} frames, longer than the "
            f"student's of {student.tubelet_size}, so it has fewer tokens. Take another teacher, "
            f"or tubelet_size={config.tubelet_size} among the model_options"
        )
    sight = Sight(student, config.tubelet_size, student.grid * config.patch_size)
    image_model = student.num_frames is None
    frames = None if image_model else student.tubelets * config.tubelet_size
    model = create_model(
        name, weights=weights, img_size=sight.size, num_frames=frames, num_classes=0
    )
    return VideoTeacher(model, sight)
