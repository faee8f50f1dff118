"""How well shots are found, and what it costs: PySceneDetect, TransNetV2, and the label `cut`.

    python -m benchmarks.shots [--films N] [--shots N] [--work FOLDER] [--json FILE]

Films are made for this (shots_set.py), with seeds that no training and no threshold has seen:
generated shots joined by cuts, dissolves and fades through black, and stretches of real files
($VFEAT_SHARED/clips/real) joined by cuts. All thresholds are the defaults. A found cut is right
when it lies within 2 frames of a true one, or within a dissolve or fade and 2 frames around it;
each true transition counts once. The model in the package labels clips of 2 s, one every 0.25 s:
the middle of each run of clips labelled cut, dissolve or fade is its cut, and may be 0.5 s off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import vfeat
from benchmarks.shots_set import (
    RATE_FPS,
    Transition,
    generated_film,
    read_shot,
    real_film,
)
from vfeat.job.recipe import SHOT_THRESHOLDS, ClipSpec, DecodeLimits, ShotDetector, ShotSpec
from vfeat.kernels.processor import processor
from vfeat.media.probe import probe
from vfeat.media.shots.detect import find_cuts
from vfeat.media.shots.detectors import installed_version
from vfeat.media.source import locate, no_progress

SEED = 2026
TOLERANCE = 2  # frames
LABEL_TOLERANCE = RATE_FPS // 2
LABEL_STRIDE_S = 0.25
DETECTORS: tuple[ShotDetector, ...] = ("content", "adaptive", "transnetv2")
# Stretches of one shot each, seconds.
REAL = (
    ("bigbuckbunny_720p25.mp4", 0.0, 5.2), ("bikes_640x272.mp4", 0.0, 1.16),
    ("bikes_640x272.mp4", 1.24, 3.0), ("bikes_640x272.mp4", 3.08, 5.44),
    ("bikes_640x272.mp4", 5.52, 7.44), ("bikes_640x272.mp4", 7.52, 9.64),
    ("cockatoo_720p20.mp4", 0.0, 6.0), ("nasa_13013_multistream.mp4", 0.0, 5.0),
    ("water_bottle_drumming_512.mp4", 0.0, 6.0),
)  # fmt: skip
SPEED_FILE = "bigbuckbunny_720p25.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=16, help="of each kind")
    parser.add_argument("--shots", type=int, default=10, help="of a film")
    parser.add_argument("--work", help="folder for the films; kept, and used again")
    parser.add_argument("--no-label", action="store_true", help="without the model's label")
    parser.add_argument("--json", help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(options.work or folder), options)
    print_table(figures)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


def measure(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the films, and score each way on each kind of them."""
    shared = Path(os.environ["VFEAT_SHARED"]) / "clips" / "real"
    films = _films(work, shared, options)
    scores: dict[str, dict[str, Any]] = {}
    for kind, truth in films.items():
        scores[kind] = {}
        for name in DETECTORS:
            found = {path: _cuts(path, name) for path in truth}
            scores[kind][name] = score(truth, found, TOLERANCE)
            scores[kind][f"{name}, 0.5 s"] = score(truth, found, LABEL_TOLERANCE)
        if not options.no_label:
            scores[kind]["label, 0.5 s"] = score(
                truth, _labelled(work / f"{kind}-features", truth), LABEL_TOLERANCE
            )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": processor("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "seed": SEED,
        "films": {kind: len(truth) for kind, truth in films.items()},
        "transitions": {
            kind: {
                name: sum(t.kind == name for ts in truth.values() for t in ts)
                for name in ("cut", "dissolve", "fade")
            }
            for kind, truth in films.items()
        },
        "versions": {name: installed_version(name) for name in DETECTORS},
        "thresholds": dict(SHOT_THRESHOLDS),
        "tolerance_frames": TOLERANCE,
        "scores": scores,
        "cpu_s_per_minute": _speed(shared / SPEED_FILE),
    }


def _films(
    work: Path, shared: Path, options: argparse.Namespace
) -> dict[str, dict[Path, list[Transition]]]:
    """Return the true transitions of each film, by kind; films that are there are used again."""
    sources = [read_shot(shared / name, start, end) for name, start, end in REAL]
    films: dict[str, dict[Path, list[Transition]]] = {"generated": {}, "real": {}}
    for kind, truth in films.items():
        folder = work / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(options.films):
            path, told = folder / f"{number:02d}.mp4", folder / f"{number:02d}.json"
            if not told.exists():
                seed = SEED + number
                if kind == "generated":
                    made = generated_film(path, seed, options.shots)
                else:
                    made = real_film(path, seed, sources, options.shots)
                told.write_text(json.dumps([asdict(one) for one in made]))
            truth[path] = [Transition(**one) for one in json.loads(told.read_text())]
    return films


def _cuts(path: Path, name: ShotDetector) -> list[float]:
    """Return the frames at which a detector lets a shot begin."""
    spec = ClipSpec(sampling="shots", shots=ShotSpec(name, SHOT_THRESHOLDS[name]))
    line = probe(str(path), path.stat().st_size, spec, DecodeLimits()).timeline
    return [float(cut * line.tick_s * RATE_FPS) for cut in line.cuts]


def _labelled(out: Path, truth: dict[Path, list[Transition]]) -> dict[Path, list[float]]:
    """Return the middle frame of each run of clips that the packaged model calls a transition."""
    command = [
        sys.executable, "-m", "vfeat", "extract", *map(str, truth), "--out", str(out),
        "--stride-seconds", str(LABEL_STRIDE_S), "--executor", "inline", "--device", "cpu",
        "--json",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = vfeat.open(str(out)).to_arrow(["uri", "clip_index", "start_s", "end_s", "labels"])
    found: dict[Path, list[float]] = {path: [] for path in truth}
    runs: dict[Path, list[tuple[int, float]]] = {}
    for row in rows.sort_by([("uri", "ascending"), ("clip_index", "ascending")]).to_pylist():
        if row["labels"][0]["label"] not in ("cut", "dissolve", "fade"):
            continue
        path = Path(row["uri"])
        run = runs.setdefault(path, [])
        if run and row["clip_index"] != run[-1][0] + 1:
            found[path].append(float(np.mean([middle for _, middle in run])) * RATE_FPS)
            run.clear()
        run.append((row["clip_index"], (row["start_s"] + row["end_s"]) / 2))
    for path, run in runs.items():
        found[path].append(float(np.mean([middle for _, middle in run])) * RATE_FPS)
    return found


def score(
    truth: dict[Path, list[Transition]], found: dict[Path, list[float]], tolerance: int
) -> dict[str, Any]:
    """Return precision, recall and F1 over all films, and recall by kind of transition."""
    right: list[str] = []
    for path, transitions in truth.items():
        right += matched(transitions, found[path], tolerance)
    total = [one.kind for transitions in truth.values() for one in transitions]
    said = sum(map(len, found.values()))
    precision, recall = len(right) / max(said, 1), len(right) / max(len(total), 1)
    return {
        "found": said,
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 3),
        "recall_of": {
            kind: round(right.count(kind) / total.count(kind), 3) for kind in sorted(set(total))
        },
    }


def matched(transitions: Sequence[Transition], found: Sequence[float], tolerance: int) -> list[str]:
    """Return the kinds of the transitions that a cut of their own was found for."""
    left = sorted(found)
    kinds = []
    for one in transitions:
        near = [f for f in left if one.first - tolerance <= f <= one.last + tolerance]
        if near:
            middle = (one.first + one.last) / 2
            left.remove(min(near, key=lambda frame: abs(frame - middle)))
            kinds.append(one.kind)
    return kinds


def _speed(path: Path) -> dict[str, float]:
    """Return CPU seconds for a minute of one 720p file: the whole pass, by detector."""
    line = probe(str(path), path.stat().st_size, ClipSpec(), DecodeLimits()).timeline
    seconds = {}
    for name in DETECTORS:
        spec = ShotSpec(name, SHOT_THRESHOLDS[name])
        taken = []
        for _ in range(4):  # the first one loads
            began = time.process_time()
            find_cuts(locate(str(path), None), line, spec, DecodeLimits(), no_progress)
            taken.append(time.process_time() - began)
        seconds[name] = round(min(taken[1:]) / float(line.duration_s / Fraction(60)), 2)
    seconds["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return seconds


def print_table(figures: dict[str, Any]) -> None:
    for kind, ways in figures["scores"].items():
        counts = figures["transitions"][kind]
        print(f"\n{kind}: {figures['films'][kind]} films, {counts}")
        print(f"{'':22}{'found':>7}{'precision':>11}{'recall':>8}{'F1':>7}  recall by kind")
        for name, one in ways.items():
            print(
                f"{name:22}{one['found']:7}{one['precision']:11.3f}{one['recall']:8.3f}"
                f"{one['f1']:7.3f}  {one['recall_of']}"
            )
    print(f"\nCPU seconds for a minute of 720p video: {figures['cpu_s_per_minute']}")


if __name__ == "__main__":
    main()
