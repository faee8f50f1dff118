"""Published splits and label transforms: LVU, Breakfast and COIN.

LVU (Wu and Krähenbühl, 2021) as distributed with ViS4mer: whitespace-separated files whose
last but one column is the video id; windows of 60 s at every second. Breakfast as ViS4mer
splits it. COIN by its own `COIN.json`. The last two have no validation split: one in ten
training videos is held out by the seed.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable

from vfeat.errors import JobError
from vfeat.train.labels import read_text
from vfeat.train.task import LabelRow, Split, TaskLabels

LVU_CLASSES = {
    "relationship": 4,
    "way_speaking": 5,
    "scene": 6,
    "director": 10,
    "writer": 10,
    "year": 9,
    "genre": 4,
}
LVU_CENTRES = {"like_ratio": 9.138220535629456, "view_count": 11.76425435683139}
LVU_TASKS = (*LVU_CLASSES, *LVU_CENTRES)
LVU_WINDOW_S, LVU_HOP_S = 60.0, 1.0
LVU_SPLITS: tuple[Split, ...] = ("train", "val", "test")
BREAKFAST_SKIPPED = frozenset(
    {"P28-cam01-P28_cereals", "P27-stereo-P27_milk_ch0", "P28-cam02-P28_cereals"}
)


def protocol_names() -> list[str]:
    """List every name that `--protocol` takes."""
    return ["lvu/all", *(f"lvu/{task}" for task in LVU_TASKS), "breakfast", "coin"]


def read_protocols(names: tuple[str, ...], folder: str) -> list[TaskLabels]:
    """Read the tasks of the named protocols, each once.

    Args:
        names: names from `protocol_names`.
        folder: holds `lvu_1.0/`, `breakfast/` or `COIN.json`, or is one of them.

    Raises:
        JobError: an unknown name, or files that are missing or cannot be parsed.
    """
    wanted: list[str] = []
    for name in names:
        if name not in protocol_names():
            raise JobError(f"--protocol {name}: there are {', '.join(protocol_names())}")
        more = [f"lvu/{task}" for task in LVU_TASKS] if name == "lvu/all" else [name]
        wanted += [one for one in more if one not in wanted]
    return [_read(name, folder.rstrip("/")) for name in wanted]


def like_ratio(likes: float, dislikes: float) -> float:
    """Return ten times the share of likes, in [0, 10]."""
    return 10 * likes / (likes + dislikes)


def _read(name: str, folder: str) -> TaskLabels:
    protocol, _, task = name.partition("/")
    if protocol == "lvu":
        return _lvu(task, f"{folder}/lvu_1.0")
    return _breakfast(f"{folder}/breakfast") if protocol == "breakfast" else _coin(folder)


def _lvu(task: str, folder: str) -> TaskLabels:
    rows: list[LabelRow] = []
    names: dict[int, str] = {}
    for split in LVU_SPLITS:
        source = f"{folder}/{task}/{split}.csv"
        for number, line in enumerate(read_text(source).splitlines()[1:], start=2):
            fields = line.split()
            if not fields:
                continue
            try:
                target = _lvu_target(task, fields, names)
            except (ValueError, IndexError, ZeroDivisionError):
                raise JobError(f"{source}, line {number}: cannot be read: {line!r}") from None
            rows.append(LabelRow(fields[-2], target, split))
    count = LVU_CLASSES.get(task, 0)
    return TaskLabels(
        task,
        "classification" if count else "regression",
        tuple(names.get(number, f"class {number}") for number in range(count)),
        tuple(rows),
        f"{folder}/{task}",
        centre=None if count else LVU_CENTRES[task],
        published=True,
        window_s=LVU_WINDOW_S,
        hop_s=LVU_HOP_S,
    )


def _lvu_target(task: str, fields: list[str], names: dict[int, str]) -> int | float:
    if task == "like_ratio":
        return like_ratio(float(fields[0]), float(fields[1]))
    if task == "view_count":
        return math.log(float(fields[0]))
    number = int(fields[0])
    if not 0 <= number < LVU_CLASSES[task]:
        raise ValueError
    names.setdefault(number, fields[1])
    return number


def _breakfast(folder: str) -> TaskLabels:
    rows: list[LabelRow] = []
    names: dict[int, str] = {}
    files: tuple[tuple[str, Split], ...] = (("train", "train"), ("test", "test"))
    for file, split in files:
        source = f"{folder}/{file}.csv"
        for line in csv.DictReader(io.StringIO(read_text(source))):
            try:
                number = int(line["class_id"])
                names.setdefault(number, line["action"])
                key = line["file_name"]
            except (KeyError, TypeError, ValueError):
                raise JobError(f"{source}: cannot be read: {line!r}") from None
            if key not in BREAKFAST_SKIPPED:
                rows.append(LabelRow(key, number, split))
    return _whole("breakfast", names, rows, folder)


def _coin(folder: str) -> TaskLabels:
    source = f"{folder}/COIN.json"
    # The file has `testing`; the published description of its format calls that `validation`.
    splits: dict[str, Split] = {"training": "train", "testing": "test", "validation": "test"}
    rows: list[LabelRow] = []
    try:
        database = json.loads(read_text(source))["database"]
        names = {v["recipe_type"]: v["class"] for v in database.values()}
        numbers = {old: new for new, old in enumerate(sorted(names))}
        for key, video in database.items():
            rows.append(LabelRow(key, numbers[video["recipe_type"]], splits[video["subset"]]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"{source} is not COIN's annotation file ({error!r})") from None
    return _whole("coin", {numbers[old]: name for old, name in names.items()}, rows, source)


def _whole(name: str, names: dict[int, str], rows: list[LabelRow], source: str) -> TaskLabels:
    """Build a classification of whole videos."""
    name_of: Callable[[int], str] = lambda number: names.get(number, f"class {number}")  # noqa: E731
    classes = tuple(name_of(number) for number in range(max(names, default=-1) + 1))
    return TaskLabels(name, "classification", classes, tuple(rows), source, published=True)
