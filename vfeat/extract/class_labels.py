"""Names of the labels of an extraction, and the sentences that explain the choice."""

from __future__ import annotations

from dataclasses import replace

from vfeat.extract.model_outline import ModelOutline
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import LabelSpec, ModelSpec
from vfeat.job.spec import ExtractJob
from vfeat.labels import LABEL_SETS, digest
from vfeat.models.class_names import find_class_names, read_class_names
from vfeat.models.head_peek import head_classes
from vfeat.models.videomamba_config import MOTION, has_text_side
from vfeat.models.weights import RANDOM, stored_config

ACTIONS = (
    "--model videomamba_middle "
    "--weights hf://OpenGVLab/VideoMamba/videomamba_m16_k400_mask_ft_f8_res224.pth"
)


def with_labels(job: ExtractJob, described: ModelOutline) -> tuple[ModelSpec, LabelSpec | None]:
    """Return the model with a head of its checkpoint's own size, and the names of its classes.

    Raises:
        JobError: another number of names than of classes.
        EnvironmentMissing, StorageError: weights or names that are not there.
    """
    model, classes, weights = described.model, described.classes, described.model.weights
    if has_text_side(model.name):
        return model, _sentences(job)
    kept = job.top_k > 0 or job.label_names is not None
    if classes is None or weights is None or not kept:
        return model, None
    published = _published_head(weights)
    if published is not None and "num_classes" not in dict(model.config):
        if published != classes:
            options = {**dict(model.config), "num_classes": published}
            model = replace(model, config=tuple(sorted(options.items())))
        classes = published
    names = find_class_names(job.label_names, weights, classes, published)
    return model, None if names is None else LabelSpec(names.source, digest(names.names))


def _sentences(job: ExtractJob) -> LabelSpec | None:
    """Return the sentences that clips are labelled with: those that the job names, or none."""
    if job.label_names is None:
        return None
    return LabelSpec(job.label_names, digest(read_class_names(job.label_names)))


def _published_head(weights: str) -> int | None:
    """Return the outputs of the head in a single file; a folder holds them in `config.json`."""
    if weights == RANDOM or stored_config(weights) is not None:
        return None
    return head_classes(weights)


def notes(job: ExtractJob, recipe: Recipe) -> list[str]:
    """Yield the choices that were made for the user, a sentence each."""
    said = []
    if job.model is None and recipe.model.name == MOTION:
        said.append(
            f"No --model was named: {MOTION} tells camera motions apart. For action labels: "
            f"{ACTIONS}"
        )
    if recipe.labels and recipe.labels.source in LABEL_SETS and job.label_names is None:
        said.append(
            f"By their number, the classes are taken for those of {recipe.labels.source}; "
            "--labels gives them other names"
        )
    return said
