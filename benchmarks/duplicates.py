"""`vfeat duplicates` on films with known partial copies, beside plain DTW and counted diagonals.

    python -m benchmarks.duplicates [--seed N] [--work FOLDER] [--model NAME] [--json FILE]

Source films hold real clips ($VFEAT_SHARED/clips/real, jobs/demo_clips), each used once, among
generated shots; hosts hold stretches of them that were coded again, made smaller, cropped,
recoloured, captioned, played faster or slower, or all of it. `vfeat extract` reads them with the
model in the package, clips of 2 s every 0.5 s. Scores are VCSL's (duplicates_score.py), pooled over
all pairs. The thresholds of vfeat are those of the package, set on films of seeds 3 and 11 without
real footage and checked against common intros on seed 7; each of the other ways has the threshold
that is best for it on these very films. An intro or black frames in common are no copy.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import vfeat
from benchmarks.duplicates_peers import THRESHOLDS, Peer, boxes, diagonals, dtw, runs
from benchmarks.duplicates_score import Boxes, Score, all_copies, score
from benchmarks.duplicates_set import Copy, make_set
from vfeat.duplicates.background import prepare
from vfeat.duplicates.clips import Clips, read_clips
from vfeat.duplicates.find import SHORTEST_S, silent
from vfeat.kernels.processor import processor

REAL = (
    "bigbuckbunny_720p25.mp4", "bikes_640x272.mp4", "cockatoo_720p20.mp4",
    "nasa_13013_multistream.mp4", "water_bottle_drumming_512.mp4",
)  # fmt: skip
CLIP_S, STRIDE_S = 2.0, 0.5
SEED = 99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sources", type=int, default=10)
    parser.add_argument("--others", type=int, default=6)
    parser.add_argument("--no-real", action="store_true", help="demo clips only: for thresholds")
    parser.add_argument("--work", help="folder for films and features; kept, and used again")
    parser.add_argument("--model", nargs="*", default=[], help="further flags of vfeat extract")
    parser.add_argument("--json", help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(options.work or folder), options)
    print_table(figures)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


def measure(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the films, extract them, and score each way to find copies."""
    copies = _films(work, options)
    features = work / "features"
    command = [
        sys.executable, "-m", "vfeat", "extract", str(work / "films"), "--out", str(features),
        "--clip-seconds", str(CLIP_S), "--stride-seconds", str(STRIDE_S), "--no-flips",
        "--executor", "inline", "--device", "cpu", "--json", *options.model,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    true = all_copies([(c.source, c.source_s, c.host, c.host_s, c.speed) for c in copies])
    sides, seconds = _sides(str(features), true)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": processor("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "seed": options.seed,
        "films": len(list((work / "films").glob("*.mp4"))),
        "clips": sum(len(s.embeddings) for s in vfeat.open(str(features)).sequences()),
        "copies": len(copies),
        "true_segments": sum(map(len, true.values())),
        "clip_s": CLIP_S,
        "stride_s": STRIDE_S,
        "seconds": seconds,
        "sides": sides,
    }


def _films(work: Path, options: argparse.Namespace) -> list[Copy]:
    work.mkdir(parents=True, exist_ok=True)
    truth = work / "copies.json"
    if not truth.exists():
        demo = sorted((Path(__file__).parents[1] / "jobs" / "demo_clips").glob("*.mp4"))
        if options.no_real:
            real = demo[1::2]
        else:
            shared = Path(os.environ["VFEAT_SHARED"]) / "clips" / "real"
            real = [*(shared / name for name in REAL), *demo[::2]]
        made = make_set(work / "films", real, options.seed, options.sources, options.others)
        truth.write_text(json.dumps([dataclasses.asdict(copy) for copy in made]))
    rows = json.loads(truth.read_text())
    return [
        Copy(**{**row, "source_s": tuple(row["source_s"]), "host_s": tuple(row["host_s"])})
        for row in rows
    ]


def _sides(features: str, true: Boxes) -> tuple[dict[str, Any], float]:
    begun = time.monotonic()
    command = [sys.executable, "-m", "vfeat", "duplicates", features, "--json"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - begun
    found: Boxes = defaultdict(list)
    for one in json.loads(result.stdout)["segments"]:
        times = (one["a_start_s"], one["a_end_s"], one["b_start_s"], one["b_end_s"])
        found[_name(one["a"]), _name(one["b"])].append(times)
    sides = {"vfeat duplicates": dataclasses.asdict(score(found, true, CLIP_S))}
    with read_clips(vfeat.open(features), None, silent) as stored:
        raw = np.array(stored.vectors_ND)
        raw /= np.linalg.norm(raw, axis=1, keepdims=True)
        prepared = prepare(stored, silent)
        for vectors, what in ((raw, "as stored"), (np.array(prepared.vectors_ND), "whitened")):
            for name, peer in (("DTW", dtw), ("diagonals", diagonals)):
                clips = dataclasses.replace(stored, vectors_ND=vectors)
                sides[f"{name}, vectors {what}"] = _best(clips, peer, true)
    return sides, seconds


def _name(uri: str) -> str:
    return uri.rpartition("/")[2].removesuffix(".mp4")


def _best(clips: Clips, peer: Peer, true: Boxes) -> dict[str, Any]:
    """Score a peer with each threshold, and return the best."""
    shortest = round((SHORTEST_S - CLIP_S) / STRIDE_S) + 1
    found: dict[float, Boxes] = {threshold: {} for threshold in THRESHOLDS}
    for a, b in combinations(range(len(clips.uris)), 2):
        rows = clips.rows(a), clips.rows(b)
        likeness = clips.vectors_ND[rows[0]] @ clips.vectors_ND[rows[1]].T
        spans = [tuple(times[r] for r in rows) for times in (clips.start_N, clips.end_N)]
        paths = peer(likeness, shortest)
        for threshold in THRESHOLDS:
            if kept := runs(paths, likeness, threshold, shortest):
                pair = _name(clips.uris[a]), _name(clips.uris[b])
                found[threshold][pair] = boxes(kept, *spans)
    scores: dict[float, Score] = {t: score(one, true, CLIP_S) for t, one in found.items()}
    threshold = max(scores, key=lambda t: scores[t].f1)
    return {**dataclasses.asdict(scores[threshold]), "threshold": threshold}


def print_table(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    print(
        f"{figures['films']} films, {figures['clips']:,} clips, {figures['copies']} copies, "
        f"{figures['true_segments']} true segments; "
        f"vfeat duplicates took {figures['seconds']:.1f} s"
    )
    print(f"{'':32}  precision  recall     F1  segments  limits  within a clip")
    for name, one in figures["sides"].items():
        print(
            f"{name:32} {one['precision']:10.3f} {one['recall']:7.3f} {one['f1']:6.3f} "
            f"{one['found']:9} {one['limits_s']:5.2f} s {one['within_clip']:14.0%}"
        )


if __name__ == "__main__":
    main()
