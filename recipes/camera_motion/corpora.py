"""Corpora of generated clips for the trainings: a clip list and a flow table in a folder each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recipes.camera_motion.synthetic.corpus import write_corpus
from recipes.camera_motion.synthetic.joined import check_earlier, write_joined
from vfeat.errors import JobError

TURNS = {"static": 2, "cut": 2, "dissolve": 2}
"""Clips of a label in one round of labels, 1 where it is not named: the hardest come twice."""
SEAMS_S = 0.5
"""Half of the cuts lie between two tubelets, where a cut is harder to find than inside one."""
PRINT_EVERY_S = 10.0


@dataclass(frozen=True)
class Corpus:
    """Settings of one corpus.

    Attributes:
        earlier: names of corpora whose training clips are joined to its own.
    """

    clips: int
    seed: int
    earlier: tuple[str, ...] = ()


CORPORA: dict[str, Corpus] = {
    "clips-20261121": Corpus(24_000, 20261121),
    "clips-20261125": Corpus(18_000, 20261125),
    "clips-20261126": Corpus(40_000, 20261126),
    "clips-20261127": Corpus(18_000, 20261127, earlier=("clips-20261126",)),
    "clips-20261128": Corpus(40_000, 20261128),
}
"""By the name of their folder, in the order in which the trainings use them."""


def make_corpus(work: Path, name: str, clips: int | None = None) -> str:
    """Render the missing clips of one corpus below `work`; return the path of its clip list.

    The flow table lies beside the list: `clips.csv` and `flow.parquet`, or `joined.csv` and
    `joined-flow.parquet` for a corpus with earlier ones.

    Args:
        clips: number of clips, for a trial; default: the recipe's own.

    Raises:
        JobError: no such corpus, an earlier one is missing, or the folder holds other clips.
        EnvironmentMissing: scikit-image is not installed.
    """
    if name not in CORPORA:
        raise JobError(f"{name}: no corpus of this recipe; expected {', '.join(CORPORA)}")
    corpus, folder = CORPORA[name], work / name
    earlier = [str(work / other) for other in corpus.earlier]
    check_earlier(folder, earlier)  # before minutes of rendering
    made = write_corpus(
        folder,
        clips=clips or corpus.clips,
        seed=corpus.seed,
        turns=TURNS,
        seams_s=SEAMS_S,
        workers=os.cpu_count() or 1,
        progress=printed_progress(name),
    )
    return write_joined(folder, earlier) if earlier else made


def printed_progress(name: str) -> Callable[[int, int], None]:
    """Return a function that prints (done, total) of a corpus now and then."""
    printed_s = time.monotonic()

    def advanced(done: int, total: int) -> None:
        nonlocal printed_s
        if time.monotonic() - printed_s >= PRINT_EVERY_S:
            printed_s = time.monotonic()
            print(f"{name}: {done:,} of {total:,} clips", file=sys.stderr, flush=True)

    return advanced
