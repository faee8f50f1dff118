"""What the test files hold, and what the grid must choose, computed the slow way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfeat.job.recipe import ClipSpec

OWN = Path(__file__).resolve().parent.parent / "clips"


@dataclass(frozen=True)
class Video:
    """One file and its frames.

    Attributes:
        times: when each frame is shown, exact seconds from the first one, in order.
        duration_s: the last frame's time and its display interval; None if not known.
        barcodes: number burnt into each frame; empty without a barcode.
        barcode_turn: counter-clockwise degrees by which the barcode is shown turned.
    """

    path: Path
    times: tuple[Fraction, ...]
    duration_s: Fraction | None
    barcodes: tuple[int, ...]
    barcode_turn: int
    healthy: bool
    error_class: str

    @property
    def name(self) -> str:
        return self.path.name


def own_videos() -> list[Video]:
    """The clips of this repository."""
    listed = json.loads((OWN / "clips.json").read_text())
    return [_own(entry) for entry in (listed if isinstance(listed, list) else listed["clips"])]


def _own(entry: dict) -> Video:  # type: ignore[type-arg]
    tick_s = Fraction(entry["tick_s"])
    healthy = entry["kind"] == "healthy"
    return Video(
        OWN / entry["file"],
        tuple(tick * tick_s for tick in entry["ticks"]),
        Fraction(str(entry["duration_s"])) if healthy else None,
        tuple(entry["barcodes"]),
        0,
        healthy,
        entry["error_class"],
    )


def shared_videos(shared: Path) -> list[Video]:
    """The large corpus, where it is at hand."""
    folder = shared / "clips"
    ticks = json.loads((folder / "pts.json").read_text())
    listed = json.loads((folder / "clips.json").read_text())["clips"]
    return [_shared(folder, entry, ticks) for entry in listed if entry["file"] in ticks]


def _shared(folder: Path, entry: dict, all_ticks: dict) -> Video:  # type: ignore[type-arg]
    known = all_ticks[entry["file"]]
    base = Fraction(known["time_base"])
    ticks = known["ticks"]
    if entry["file"].endswith("resolution_change.ts"):
        # 30 frames, and 30 more whose times start again: they go on, 40 ms apart
        ticks = [ticks[0] + 3600 * number for number in range(len(ticks))]
    first = ticks[0] if ticks else 0
    frames = len(ticks)
    start = 15 if "editlist_cut" in entry["file"] else 0  # it hides the first 15 frames
    return Video(
        folder / entry["file"],
        tuple(sorted((tick - first) * base for tick in ticks)),
        None,
        tuple(range(start, start + frames)) if entry["barcode"] else (),
        entry["rotation_ccw"] or 0,
        not entry["file"].startswith("broken"),
        "",
    )


def clip_count(spec: ClipSpec, duration_s: Fraction) -> int:
    """Clips of a dense grid, one by one."""
    count = 1
    while spec.stride * count + spec.clip / 2 <= duration_s:
        count += 1
    return count


def sample_times(spec: ClipSpec, clip_index: int) -> list[Fraction]:
    """Centres of the equal parts of a clip's window."""
    part = spec.clip / spec.num_frames
    return [spec.stride * clip_index + part * i + part / 2 for i in range(spec.num_frames)]


def expected_frames(video: Video, spec: ClipSpec, clip_index: int) -> list[int] | None:
    """Numbers of the frames of one clip; None for an empty one."""
    start = spec.stride * clip_index
    begins = [time for time in video.times if start <= time < start + spec.clip]
    if clip_index > 0 and not begins:
        return None
    return [
        max(number for number, time in enumerate(video.times) if time <= sample)
        for sample in sample_times(spec, clip_index)
    ]
