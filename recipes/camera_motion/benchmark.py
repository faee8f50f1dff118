"""Measurement of `videomamba_motion` on clips it never saw, by the command that users run.

    python -m recipes.camera_motion benchmark FOOTAGE... [--still STILL...]
        [--dissolves NAME:FROM-TO...] [--weights ENCODER] [--no-flips] [--json OUT]

Tables, each with the share of clips that are called right:

* generated: fresh seeds of the generator it was trained with; and of these, clips with and without
  contents that are easily taken for the camera: subjects that fill much of the picture or that
  the camera follows, scenes that sway, flow or glitter;
* over frozen footage: the generator's camera paths and transitions, looking at single frames
  of the real videos FOOTAGE;
* over playing footage: the same while the videos play on underneath, people and all: windows of
  FOOTAGE whose own camera stands (`standing.py` registers the background), without those seconds
  in which it dissolves by itself, given by hand (its cuts are detected);
* still: the real videos STILL as they are, every half second: windows whose camera stands,
  whatever moves in front of it.

Clips are compressed, then read by `vfeat extract`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

import vfeat
from recipes.camera_motion.standing import STANDS, creep
from recipes.camera_motion.synthetic.camera import F64
from recipes.camera_motion.synthetic.encode import write_video
from recipes.camera_motion.synthetic.labels import HARDSHIPS, LABELS, Hardship
from recipes.camera_motion.synthetic.scenes import U8
from recipes.camera_motion.synthetic.script import CLIP_S, Background, Footage, make_clip
from recipes.camera_motion.synthetic.wear import worn

STILL_STRIDE_S = 0.5
FOOTAGE_WIDTH = 640  # pixels; wider footage is made smaller when it is read
EVERY = 5  # frames between windows that are checked for a standing camera
NEAREST = 0.45  # the least part of the footage's width that the virtual camera looks at
CUT = 40.0  # mean difference of two frames across a cut, grey levels of 255, at least

DissolveOf = tuple[str, tuple[float, float]]
"""File name, and start and end of a dissolve in it, seconds."""


@dataclass(frozen=True)
class Answer:
    """Label of a clip, the label it was given, and its hardships."""

    label: str
    name: str
    hardships: frozenset[Hardship] = frozenset()

    @property
    def right(self) -> bool:
        return self.label == self.name


@dataclass(frozen=True)
class Film:
    """Real footage in memory.

    Attributes:
        frames: uint8 [T, H, W, 3].
        times_s: times of the frames, from 0.
        dissolves_s: start and end of the dissolves in it.
    """

    frames: U8
    times_s: F64
    dissolves_s: tuple[tuple[float, float], ...] = ()

    @property
    def cuts_s(self) -> F64:
        """Times of the cuts in it."""
        small = np.stack([cv2.resize(frame, (32, 32)) for frame in self.frames])
        steps = np.abs(np.diff(small.astype(np.float32), axis=0)).mean((1, 2, 3))
        return np.asarray(self.times_s[1:][steps > CUT])

    def stands(self, start_s: float, part: float = 1.0) -> bool:
        """Return whether its own camera stands for the length of a clip, without a dissolve.

        Args:
            part: part of its width that is shown; a creep is larger by its inverse.
        """
        if any(start_s < to_s and from_s < start_s + CLIP_S for from_s, to_s in self.dissolves_s):
            return False
        moments_s = start_s + np.linspace(0, CLIP_S * 0.97, 5)
        index = np.searchsorted(self.times_s, moments_s, side="right") - 1
        found = creep([self.frames[place] for place in index])
        return found is not None and found < STANDS * part


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    parser.add_argument("footage", nargs="*", help="real videos for the virtual camera")
    parser.add_argument("--still", nargs="*", default=[], help="real videos of standing cameras")
    parser.add_argument(
        "--dissolves", nargs="*", default=[], metavar="NAME:FROM-TO", type=span_of_file,
        help="seconds of a file in which it dissolves by itself",
    )  # fmt: skip
    parser.add_argument("--weights", help="an encoder's folder; default: the one in the package")
    parser.add_argument(
        "--no-flips", action="store_true", help="see each clip once, as it is, and not its flips"
    )
    parser.add_argument("--clips", type=int, default=40, help="of each label")
    parser.add_argument("--seed", type=int, default=2**31)
    parser.add_argument("--json", help="file for the counts")


def run(args: argparse.Namespace) -> None:
    """Print the tables; write the counts where asked."""
    films = [f for path in args.footage if (f := read_film(path, args.dissolves)) is not None]
    flags = encoder_flags(args.weights) if args.weights else []
    flags += ["--no-flips"] * args.no_flips
    answers = {"generated": made(None, args.clips, args.seed, flags)}
    if films:
        for title, plays in (("over frozen footage", False), ("over playing footage", True)):
            answers[title] = made(real(films, plays), args.clips, args.seed, flags)
    if args.still:
        answers["still"] = called(args.still, args.dissolves, flags)
    for title, found in answers.items():
        print_table(title, found)
    print_hardships(answers["generated"])
    if args.json:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        counts = {title: by_label(found) for title, found in answers.items()}
        shares = by_hardship(answers["generated"])
        content = {"date": now, "called": counts, "generated_right_of_all": shares}
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n")


def made(footage: Footage | None, clips: int, seed: int, flags: Sequence[str]) -> list[Answer]:
    """Make new clips, so many of each label, and return the answers.

    Args:
        flags: for `vfeat extract`.
    """
    with tempfile.TemporaryDirectory() as folder:
        hardships: dict[str, frozenset[Hardship]] = {}
        for label in LABELS:
            (Path(folder) / label).mkdir()
            for index in range(clips):
                clip = make_clip(label, (seed, index), footage)
                rng = np.random.default_rng((seed, index))
                name = f"{label}/{index:04d}.mp4"
                write_video(rng, f"{folder}/{name}", worn(rng, clip.frames), clip.rate_fps)
                hardships[name] = clip.hardships
        rows = extracted([folder], flags)
    found = []
    for uri, start_s, answer in rows:
        if start_s == 0:
            shown, file = Path(uri).parts[-2:]
            found.append(Answer(shown, answer, hardships[f"{shown}/{file}"]))
    return found


def called(
    paths: Sequence[str], dissolves: Sequence[DissolveOf], flags: Sequence[str]
) -> list[Answer]:
    """Return the answers for windows of real videos whose camera stands."""
    found = []
    films = {Path(path).name: read_film(path, dissolves) for path in paths}
    for uri, start_s, name in extracted(paths, flags, STILL_STRIDE_S):
        film = films[Path(uri).name]
        if film is not None and start_s + CLIP_S <= film.times_s[-1] and film.stands(start_s):
            found.append(Answer("static", name))
    return found


def by_label(answers: Sequence[Answer]) -> dict[str, Counter[str]]:
    """Count the answers for each label."""
    found: dict[str, Counter[str]] = {label: Counter() for label in LABELS}
    for answer in answers:
        found[answer.label][answer.name] += 1
    return {label: counter for label, counter in found.items() if counter}


def by_hardship(answers: Sequence[Answer]) -> dict[str, tuple[int, int]]:
    """Count right answers and clips, without a hardship and with each."""
    groups = {"none of these": [answer for answer in answers if not answer.hardships]}
    for hardship in HARDSHIPS:
        groups[hardship] = [answer for answer in answers if hardship in answer.hardships]
    return {name: (sum(a.right for a in group), len(group)) for name, group in groups.items()}


def extracted(
    sources: Sequence[str], flags: Sequence[str], stride_s: float = CLIP_S
) -> list[tuple[str, float, str]]:
    """Run `vfeat extract`; return URI, start and best label of each clip."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "vfeat", "extract", *sources, "--out", out]
        command += ["--executor", "inline", "--stride-seconds", str(stride_s), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        rows = vfeat.open(out).to_arrow().select(["uri", "start_s", "labels"]).to_pylist()
    return [(row["uri"], row["start_s"], row["labels"][0]["label"]) for row in rows]


def encoder_flags(weights: str) -> list[str]:
    """Return the flags of `vfeat extract` for an encoder's folder."""
    return ["--model", "videomamba", "--weights", weights]


@cache
def span_of_file(text: str) -> DissolveOf:
    """Parse `NAME:FROM-TO`."""
    found = re.fullmatch(r"(.+):([\d.]+)-([\d.]+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME:FROM-TO, in seconds")
    return found[1], (float(found[2]), float(found[3]))


def read_film(path: str, dissolves: Sequence[DissolveOf]) -> Film | None:
    """Read a video's frames, made smaller; None if it is too short for a clip."""
    frames, times_s = [], []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            width = min(FOOTAGE_WIDTH, frame.width)
            height = round(frame.height * width / frame.width)
            small = frame.reformat(width, height, "rgb24", interpolation="AREA")
            frames.append(small.to_ndarray())
            times_s.append(float(frame.time or 0))
    own = tuple(span_s for name, span_s in dissolves if name == Path(path).name)
    film = Film(np.stack(frames), np.array(times_s) - times_s[0], own)
    return film if film.times_s[-1] >= CLIP_S else None


def real(films: Sequence[Film], plays: bool) -> Footage:
    """Make a source of windows without a cut, with room for the virtual camera to move."""
    starts = [starts_without_cut(film) for film in films]
    if plays:
        starts = [
            np.array([start for start in clean[::EVERY] if film.stands(start, NEAREST)])
            for film, clean in zip(films, starts, strict=True)
        ]
    usable = [n for n, found in enumerate(starts) if len(found)]

    def pick(
        rng: np.random.Generator, times_s: F64, width: int, height: int
    ) -> tuple[Background, float]:
        which = usable[rng.integers(len(usable))]
        film, start_s = films[which], float(rng.choice(starts[which]))
        moments_s = start_s + (times_s if plays else 0 * times_s)
        index = np.searchsorted(film.times_s, moments_s, side="right") - 1
        tall, wide = film.frames.shape[1:3]
        density = min(wide / width, tall / height) * rng.uniform(NEAREST, 0.85)
        return (lambda moment: film.frames[index[moment]]), float(density)

    return pick


def starts_without_cut(film: Film) -> F64:
    """Return the times from which a clip's length runs without a cut."""
    candidates = film.times_s[film.times_s <= film.times_s[-1] - CLIP_S]
    cuts_s = film.cuts_s
    clean = [not ((cuts_s > start) & (cuts_s <= start + CLIP_S)).any() for start in candidates]
    return np.asarray(candidates[np.array(clean, dtype=bool)])


def print_table(title: str, answers: Sequence[Answer]) -> None:
    """Print a line for each label: right answers, and the other answers by name."""
    right, total = sum(answer.right for answer in answers), len(answers)
    print(f"\n{title}: {right} of {total} right, {100 * right / max(1, total):.1f} %")
    for label, counter in by_label(answers).items():
        others = ", ".join(f"{n} {name}" for name, n in counter.most_common() if name != label)
        print(f"  {label:10} {counter[label]:4} of {counter.total():4}   {others}")


def print_hardships(answers: Sequence[Answer]) -> None:
    """Print a line for each group of generated clips."""
    print("\ngenerated, by what is easily taken for the camera:")
    for name, (right, total) in by_hardship(answers).items():
        print(f"  {name:16} {right:4} of {total:4}   {100 * right / max(1, total):.1f} %")
