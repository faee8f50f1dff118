"""Words in the package for vectors of the model in the package; without torch."""

from __future__ import annotations

from vfeat.models.packaged import SCHEME, in_box
from vfeat.models.weights import stored_config

CAMERA_WORDS = "camera_words"


def words_for(weights_digest: str) -> str | None:
    """Return the URI of the packaged words that find a model's vectors; None without any.

    Args:
        weights_digest: of the model, as a recipe holds it.
    """
    if not in_box(CAMERA_WORDS):
        return None
    uri = f"{SCHEME}{CAMERA_WORDS}"
    config = stored_config(uri) or {}
    return uri if config.get("finds") == weights_digest else None
