"""The map of a dataset's embeddings, as data for the script that draws it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from vfeat.plain_text import one_line
from vfeat.report.pictures import Album
from vfeat.report.projection import project
from vfeat.report.row_sample import RowSample

_NAME_CHARS = 60
OTHER = -1  # colour of a label without one


@dataclass(frozen=True)
class Centre:
    """The middle of a label on the map: for readers who cannot look at it."""

    label: str
    count: int
    x: float
    y: float
    nearest: str


@dataclass(frozen=True)
class EmbeddingMap:
    """A picture that a script draws on a canvas.

    Attributes:
        data: JSON that is safe inside of an HTML script element.
        is_sampled: the dataset has more rows than points.
    """

    method: str
    explained: tuple[float, ...]
    points: int
    pictures: int
    is_sampled: bool
    data: str
    centres: list[Centre]


def make_map(
    sample: RowSample, colours: dict[str, int], album: Album, most: int
) -> EmbeddingMap | None:
    """Lay the sampled embeddings out; None where there are too few."""
    projection = project(sample.vectors_ND)
    if projection is None:
        return None
    pictures: list[str] = []
    points: list[list[object]] = []
    for (x, y), clip in zip(projection.xy_N2, sample.points, strict=True):
        picture, place = album.pictures.get((clip.video_id, clip.number)), -1
        if picture is not None and picture.jpeg:
            place = len(pictures)
            pictures.append(picture.jpeg)
        label = f"{one_line(clip.label)[:_NAME_CHARS]} {clip.score:.0%}" if clip.label else ""
        text = f"{one_line(clip.name)[:_NAME_CHARS]}, {clip.start_s:.1f} s to {clip.end_s:.1f} s"
        colour = colours.get(clip.label, OTHER)
        points.append([round(float(x), 4), round(float(y), 4), colour, text, label, place])
    return EmbeddingMap(
        projection.method, projection.explained, len(points), len(pictures),
        len(points) >= most or sample.is_sampled,
        safe_json({"points": points, "pictures": pictures}), _centres(sample, projection.xy_N2),
    )  # fmt: skip


def safe_json(value: object) -> str:
    """Return JSON in which nothing can end a script element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _centres(sample: RowSample, xy_N2: np.ndarray) -> list[Centre]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, clip in enumerate(sample.points):
        groups[clip.label].append(place)
    middles = {label: xy_N2[places].mean(0) for label, places in groups.items() if label}
    found = []
    for label, middle in sorted(middles.items(), key=lambda item: -len(groups[item[0]])):
        others = {o: float(np.sum((m - middle) ** 2)) for o, m in middles.items() if o != label}
        nearest = min(others, key=lambda other: others[other]) if others else ""
        at = (float(middle[0]), float(middle[1]))
        found.append(Centre(label, len(groups[label]), *at, nearest))
    return found[:30]
