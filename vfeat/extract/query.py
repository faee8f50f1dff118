"""A video file as the query of a search: decoded and encoded as the dataset's own clips were."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from vfeat.errors import JobError, UnitError
from vfeat.extract.encoder import Encoder
from vfeat.job.fingerprint import Recipe
from vfeat.job.recipe import DecodeLimits
from vfeat.media.children.pool import DecodePool
from vfeat.media.children.task import ClipReady, DecodeTask, Probed, ProbeTask, TaskDone, TaskFailed
from vfeat.video_facts import Probe

MOST_CLIPS = 64  # of a query; what is longer is cut


def embed_query(
    path: str, recipe: Recipe, at_s: float | None = None, device: str = "auto"
) -> npt.NDArray[np.float32]:
    """Return the direction [D] of a video file under a recipe, float32.

    Args:
        path: an absolute local path or any URI that can be read.
        at_s: second of the file that the query is about; None: all of it, as the mean of its
            clips, at most the first MOST_CLIPS.

    Raises:
        UnitError: the file cannot be decoded.
        JobError: it has no clip there.
        EnvironmentMissing: the recipe's weights are not there, or are others.
    """
    if recipe.is_imported:
        raise JobError(
            f"these features were imported ({recipe.model.name}), and vfeat does not have the "
            "model that made them; search with --like VIDEO@SECONDS, or in Python with a vector"
        )
    plain = dataclasses.replace(recipe.output, tokens="none", top_k=0)
    encoder = Encoder(dataclasses.replace(recipe, output=plain), device)
    vectors: list[npt.NDArray[np.float32]] = []
    with DecodePool(recipe.clip, recipe.frame, DecodeLimits(), 1) as pool:
        found = probe(pool, path)
        first, last = _clips(path, recipe, found, at_s)
        pool.submit(DecodeTask(1, "query", path, None, found.timeline, first, last))
        while not isinstance(event := pool.next_event(), TaskDone):
            if isinstance(event, ClipReady):
                [encoded] = encoder.encode(np.array(event.frames)[None])
                event.release()
                wide = encoded.embedding.astype(np.float32)
                vectors.append(wide / np.linalg.norm(wide))
    if vectors:
        mean: npt.NDArray[np.float32] = np.mean(vectors, axis=0)
        return mean
    if event.outcome.errors:
        error = event.outcome.errors[0]
        raise UnitError(error.error_class, error.message)
    raise JobError(f"{path}: clips {first} to {last} are empty: no frame begins in their windows")


def probe(pool: DecodePool, path: str) -> Probe:
    """Probe one video with an idle pool.

    Raises:
        UnitError: it cannot be read.
    """
    pool.submit(ProbeTask(0, path))
    while True:
        event = pool.next_event()
        if isinstance(event, Probed):
            return event.probe
        if isinstance(event, TaskFailed):
            raise UnitError(event.error_class, event.message)


def _clips(path: str, recipe: Recipe, found: Probe, at_s: float | None) -> tuple[int, int]:
    """Return the first and the last clip that the query is made of."""
    if at_s is None or recipe.clip.sampling == "sparse":
        return 0, min(found.n_clips, MOST_CLIPS) - 1
    if at_s >= found.duration_s:
        raise JobError(f"{path} has {found.duration_s:.2f} s; --at {at_s:g} lies behind its end")
    clip = recipe.clip
    number = min(found.n_clips - 1, max(0, round((at_s - clip.clip_s / 2) / clip.stride_s)))
    return number, number
