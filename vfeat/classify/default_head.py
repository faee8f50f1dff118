"""The head in the package, for features that the package's own model made."""

from __future__ import annotations

from vfeat.errors import JobError
from vfeat.models.packaged import SCHEME, in_box
from vfeat.models.videomamba_config import MOTION
from vfeat.models.weights import weights_digest
from vfeat.tables.dataset import FeatureDataset

CAMERA_STYLE = "camera_style"


def default_head(features: FeatureDataset) -> str:
    """Return the head for features where the user names none.

    Raises:
        JobError: the features are not those that the head in the package reads.
    """
    recipe = features.recipe
    if in_box(MOTION) and recipe.weights_digest == weights_digest(f"{SCHEME}{MOTION}"):
        return f"{SCHEME}{CAMERA_STYLE}"
    raise JobError(
        f"Name a head: --head HEAD. {features.root.uri} holds features of {recipe.model.name} with "
        f"weights {recipe.model.weights}; the head in this package, {CAMERA_STYLE}, reads only "
        f"those of the {MOTION} beside it. `vfeat train head` makes a head for any features"
    )
