"""Construction of the objective that a job asks for, with its network."""

from __future__ import annotations

from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models import create_model
from vfeat.models.block_expansion import expand_blocks
from vfeat.models.factory import create_flow_reader, create_masked, create_student
from vfeat.models.masked import MaskedVideoMamba
from vfeat.models.motion_energy import initialise_motion_energy
from vfeat.train.encoder.dry_run import check_shape, model_fields
from vfeat.train.encoder.objectives.base import Classification, Objective
from vfeat.train.encoder.objectives.distillation import Distillation
from vfeat.train.encoder.objectives.masked import MaskedPretraining
from vfeat.train.encoder.objectives.optical_flow import FlowClassification
from vfeat.train.encoder.objectives.teacher import Teacher
from vfeat.train.encoder.teachers import load_teacher


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
