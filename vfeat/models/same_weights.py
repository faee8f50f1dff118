"""Check that this machine's weights are those that a dataset was made with."""

from __future__ import annotations

import socket

from vfeat.errors import NodeDiffers
from vfeat.job.fingerprint import Recipe
from vfeat.models.vit import VIT, read_vit
from vfeat.models.weights import weights_digest


def check_weights(recipe: Recipe) -> None:
    """Compare the weights at the recipe's location with its digest.

    Raises:
        NodeDiffers: they are others.
        EnvironmentMissing, StorageError: see `vfeat.models.weights`.
    """
    name, weights = recipe.model.name, recipe.model.weights
    assert weights is not None
    found = read_vit(weights).files.digest() if name == VIT else weights_digest(weights)
    if found != recipe.weights_digest:
        raise NodeDiffers(
            f"{weights} on {socket.gethostname()} holds other weights than where this run began "
            f"({found[:19]}..., not {recipe.weights_digest[:19]}...): copy the same file to every "
            "machine, or name it by an address that all of them read"
        )
