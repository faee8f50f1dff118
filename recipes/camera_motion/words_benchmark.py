"""Measurement of `camera_words`: sentences against clips that nothing was trained on.

    python -m recipes.camera_motion words-benchmark [FOOTAGE...] [--words FOLDER] [--json OUT]

* generated: the test clips of the recipe, which no training saw; sentences of the training
  wording and of phrases that no training caption has; pairs of motions that no training clip has.
* over frozen footage: the generator's camera paths and transitions over single frames of the real
  videos FOOTAGE.

For each sentence the clips are ranked by the cosine of their stored vectors. R@5: sentences with a
clip among the first five of which they are true. Precision@10: share of such clips among the first
ten, or among as many as there are. Chance is that of a random order.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vfeat
from recipes.camera_motion.benchmark import read_film, real
from recipes.camera_motion.captions import PARAPHRASED, TRAINING, Statement, Wording, worded
from recipes.camera_motion.clip_facts import ClipFacts, facts_of
from recipes.camera_motion.corpora import printed_progress
from recipes.camera_motion.phrases import HELD_OUT, TRAINED
from recipes.camera_motion.synthetic.encode import write_video
from recipes.camera_motion.synthetic.labels import LABELS
from recipes.camera_motion.synthetic.script import make_clip
from recipes.camera_motion.synthetic.wear import worn
from recipes.camera_motion.vfeat_command import run_vfeat
from recipes.camera_motion.words import CLIPS, CLIPS_FOLDER, SEED
from recipes.camera_motion.words_corpus import HELD_OUT_PAIRS, SEEN_PAIRS, write_clips
from vfeat.models.retrieval.stored_words import StoredWords
from vfeat.train.retrieval.recall import chance

SENTENCES = 8  # of each statement
SPEEDS = ("slow", "fast")
DIRECTED = tuple(label for label in LABELS if label.startswith(("pan", "tilt", "zoom", "roll")))


@dataclass(frozen=True)
class Shown:
    """Clips with what is true of them.

    Attributes:
        facts: of each clip.
        vectors: unit vectors, float32 [clips, D].
    """

    facts: Sequence[ClipFacts]
    vectors: np.ndarray


@dataclass(frozen=True)
class Score:
    """Means over sentences: R@5 and precision@10, and what a random order gives."""

    sentences: int
    r5: float
    r5_chance: float
    precision10: float
    precision10_chance: float


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    parser.add_argument("footage", nargs="*", help="real videos for the virtual camera")
    parser.add_argument("--words", default="box:camera_words", help="default: %(default)s")
    parser.add_argument("--work", default="camera-motion", help="folder of the recipe's clips")
    parser.add_argument("--clips", type=int, help="number of the recipe's clips, for a trial")
    parser.add_argument("--each", type=int, default=20, help="clips of each label over footage")
    parser.add_argument("--json", help="file for the scores")


def run(args: argparse.Namespace) -> None:
    """Print the tables; write the scores where asked."""
    words = StoredWords(args.words, torch.device("cpu"))
    found = {"generated": measured(words, _generated(Path(args.work), args.clips))}
    if args.footage:
        found["over frozen footage"] = measured(words, _over(args.footage, args.each))
    for title, scores in found.items():
        print_table(title, scores)
    if args.json:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"date": now, **{t: {n: vars(s) for n, s in f.items()} for t, f in found.items()}}
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n")


def measured(words: StoredWords, shown: Shown) -> dict[str, Score]:
    """Return the score of each kind of statement that is true of some clip."""
    groups: dict[str, tuple[list[Statement], Wording]] = {
        "a label": ([Statement((name,)) for name in TRAINED], TRAINING),
        "a label, other phrases": ([Statement((name,)) for name in HELD_OUT], PARAPHRASED),
        "a label with its speed": (
            [Statement((name,), speed) for name in DIRECTED for speed in SPEEDS], TRAINING,
        ),
        "two motions": ([Statement(pair) for pair in SEEN_PAIRS], TRAINING),
        "two motions never seen together": (
            [Statement(pair) for pair in HELD_OUT_PAIRS], TRAINING,
        ),
    }  # fmt: skip
    groups |= {name: ([Statement((name,))], TRAINING) for name in TRAINED}
    found = {}
    for name, (statements, wording) in groups.items():
        score = _score(words, shown, statements, wording)
        if score is not None:
            found[name] = score
    return found


def _score(
    words: StoredWords, shown: Shown, statements: Sequence[Statement], wording: Wording
) -> Score | None:
    rows: list[tuple[float, ...]] = []
    for number, statement in enumerate(statements):
        right = np.array([statement.is_true(facts) for facts in shown.facts])
        if not right.any():
            continue
        rng = np.random.default_rng((SEED, number))
        texts = [worded(rng, statement, wording) for _ in range(SENTENCES)]
        for text_P in words.embed([text for text in texts if text is not None]):
            order = np.argsort(-(shown.vectors @ text_P), kind="stable")
            count, most = int(right.sum()), min(10, int(right.sum()))
            rows.append(
                (
                    float(right[order[:5]].any()), chance(len(right), [count], 5),
                    float(right[order[:most]].mean()), count / len(right),
                )
            )  # fmt: skip
    return Score(len(rows), *(float(v) for v in np.mean(rows, axis=0))) if rows else None


def print_table(title: str, scores: dict[str, Score]) -> None:
    """Print one line for each kind of statement."""
    print(f"{title:34} sentences    R@5 chance   P@10 chance")
    for name, score in scores.items():
        shares = (score.r5, score.r5_chance, score.precision10, score.precision10_chance)
        print(f"  {name:32} {score.sentences:9}", *(f"{100 * share:5.1f}%" for share in shares))


def _generated(work: Path, clips: int | None) -> Shown:
    """Return the recipe's test clips."""
    folder = work / CLIPS_FOLDER
    made = write_clips(folder, clips or CLIPS, SEED, 2, printed_progress(CLIPS_FOLDER))
    test = [(clip, facts) for clip, facts in made if clip.split == "test"]
    return _shown([(folder / clip.name, facts) for clip, facts in test])


def _over(footage: Sequence[str], each: int) -> Shown:
    """Make clips of the virtual camera over single frames of real videos."""
    films = [film for path in footage if (film := read_film(path, ())) is not None]
    source = real(films, plays=False)
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for label in LABELS:
            for index in range(each):
                clip = make_clip(label, (SEED + 1, index), source)
                rng = np.random.default_rng((SEED + 1, index))
                path = Path(folder) / f"{index:04d}_{label}.mp4"
                write_video(rng, str(path), worn(rng, clip.frames), clip.rate_fps)
                made.append((path, facts_of(clip)))
        return _shown(made)


def _shown(made: Sequence[tuple[Path, ClipFacts]]) -> Shown:
    """Extract the first clip of each video, as `vfeat extract` stores it by default."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "clips.csv"
        listed.write_text("uri\n" + "".join(f"{path.resolve()}\n" for path, _ in made))
        flags = ["--no-flips", "--executor", "inline", "--out", "features"]
        run_vfeat(["extract", "clips.csv", *flags], Path(folder))
        rows: Any = vfeat.open(f"{folder}/features").to_arrow()
        rows = rows.select(["uri", "start_s", "embedding"]).to_pylist()
    first = {Path(r["uri"]).name: np.array(r["embedding"]) for r in rows if r["start_s"] == 0}
    there = [(first[path.name], facts) for path, facts in made if path.name in first]
    vectors = np.stack([vector for vector, _ in there]).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Shown([facts for _, facts in there], unit)
