"""The objective that a job names, around its network, and the teacher that it learns from."""

from __future__ import annotations

from vfeat.errors import JobError
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models import create_model
from vfeat.models.block_expansion import expand_blocks
from vfeat.models.factory import create_flow_reader, create_masked, create_student
from vfeat.models.masked import MaskedVideoMamba
from vfeat.models.motion_energy import initialise_motion_energy
from vfeat.models.videomamba_config import VideoMambaConfig, resolve_config
from vfeat.models.vit import PREFIX, is_vit
from vfeat.models.weights import RANDOM, stored_config
from vfeat.train.encoder.dry_run import check_shape, model_fields
from vfeat.train.encoder.objectives.base import Classification, Objective
from vfeat.train.encoder.objectives.distillation import Distillation
from vfeat.train.encoder.objectives.frame_teacher import load_frame_teacher
from vfeat.train.encoder.objectives.masked import MaskedPretraining
from vfeat.train.encoder.objectives.optical_flow import FlowClassification
from vfeat.train.encoder.objectives.teacher import Teacher, VideoTeacher
from vfeat.train.encoder.objectives.teacher_input import Sight


def make_objective(job: TrainEncoderJob, classes: int) -> Objective:
    """Build the objective on the CPU, with fresh weights from torch's random state or the job's.

    Args:
        job: settings of the training.
        classes: number of classes of the list.

    Raises:
        JobError: weights that do not fit, or a teacher that does not match this network.
        EnvironmentMissing, StorageError: weights that do not exist or cannot be read.
    """
    objective = _objective(job, classes)
    if job.initial == "motion_energy":
        initialise_motion_energy(objective.model)
    if job.new_blocks:
        expand_blocks(objective.model, job.new_blocks)
    return objective


def _objective(job: TrainEncoderJob, classes: int) -> Objective:
    fields = model_fields(job, classes)
    if job.flow_loss:
        reader = create_flow_reader(job.model, weights=job.weights, **fields)
        return FlowClassification(reader, job.label_smoothing, job.token_loss, job.flow_loss)
    if job.objective == "classification":
        model = create_model(job.model, weights=job.weights, **fields)
        return Classification(model, job.label_smoothing, job.token_loss)
    teacher = _teacher(job, classes)
    if job.objective == "distillation":
        student = create_student(job.model, teacher.width, weights=job.weights, **fields)
        return Distillation(student, teacher, job.distill_weight, job.label_smoothing)
    return MaskedPretraining(_masked(job, teacher, fields), teacher, job.mask_kind, job.mask_ratio)


def _teacher(job: TrainEncoderJob, classes: int) -> Teacher:
    attends = job.objective == "masked" and job.mask_kind == "attention"
    student = check_shape(job, classes)
    return load_teacher(job.teacher_model, job.teacher, student, attends=attends)


def _masked(job: TrainEncoderJob, teacher: Teacher, fields: dict[str, int]) -> MaskedVideoMamba:
    """Create the masked network.

    Its last layer is compared after the final norm, so that all of it is trained.
    """
    return create_masked(
        job.model, teacher.width, last_layer="normalised", weights=job.weights, **fields
    )


def load_teacher(
    name: str, weights: str | None, student: VideoMambaConfig, *, attends: bool = False
) -> Teacher:
    """Return a frozen teacher whose tokens are as many as the student's, on the CPU.

    Args:
        name: a VideoMamba of `vfeat models`, or `vit:FOLDER`, `vit:owner/repo`.
        weights: of a VideoMamba; a ViT has its own.
        student: whose tokens the teacher's must match in number.
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
    """Load a VideoMamba, its embeddings resized to the student's grid and length."""
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
