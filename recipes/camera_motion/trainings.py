"""The trainings of `videomamba_motion`, each from the weights of the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recipes.camera_motion.corpora import make_corpus
from recipes.camera_motion.vfeat_command import run_vfeat
from vfeat.errors import JobError
from vfeat.job.load import load_job
from vfeat.job.train_encoder import TrainEncoderJob
from vfeat.models.weights import find_weights

JOBS = Path(__file__).parent / "jobs"
TRAININGS = ("from-scratch", "continue", "skip-learned", "random-crop", "flips", "deeper")
"""Job files in `jobs/`, in order; the last one makes the weights in the package."""


def train(
    work: Path, names: Sequence[str], overrides: Sequence[str] = (), clips: int | None = None
) -> None:
    """Make the corpus of each training, then run the training; the same call again goes on.

    Args:
        work: folder of corpora and encoders.
        names: of `TRAININGS`, in that order.
        overrides: `key=value`, on top of the job files.
        clips: number of clips in a corpus, for a trial; default: the recipe's own.

    Raises:
        JobError, EnvironmentMissing: unknown names, wrong settings, or weights that are missing.
        SystemExit: with the exit code of `vfeat train encoder`, where that is not 0.
    """
    unknown = [name for name in names if name not in TRAININGS]
    if unknown:
        expected = ", ".join(TRAININGS)
        raise JobError(f"{', '.join(unknown)}: no training of this recipe; expected {expected}")
    for name in names:
        path = JOBS / f"{name}.yaml"
        job = load_job(str(path), tuple(overrides))
        assert isinstance(job, TrainEncoderJob)
        if job.weights is not None:
            find_weights(str(work / job.weights))  # before minutes of rendering
        make_corpus(work, Path(job.source).parent.name, clips)
        flags = [flag for override in overrides for flag in ("--set", override)]
        run_vfeat(["train", "encoder", str(path), *flags], work)
