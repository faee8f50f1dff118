"""Names of the files and folders under a dataset root.

A listing is matched against these patterns and nothing looser, so that a temporary or foreign
file is never taken for a commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vfeat.surroundings import here

DATASET = "dataset.json"
VIDEOS = "videos.parquet"
ERRORS = "errors.parquet"
SHOTS = "shots.parquet"
PLANS = "plans"
FEATURES = "features"
PREDICTIONS = "predictions"
RUNS = "runs"
INDEX = "index"
SEARCH = "search"
LOGS = "logs"
FOLDERS = ("", PLANS, FEATURES, PREDICTIONS, RUNS, INDEX, SEARCH, LOGS)

# At least five digits: the numbers have no ceiling.
# A follow-up plan has the name of the shard whose videos it continues.
_PLAN = re.compile(r"^(p\d{5,}|f\d{5,}-\d{5,})\.parquet$")
_SHARD = re.compile(r"^(p\d{5,}-\d{5,}|f\d{5,}-\d{5,}-\d{5,})\.parquet$")
_SEGMENT = re.compile(r"^(\d{5,})\.parquet$")
_NOTE = re.compile(r"^n-[0-9a-f]{32}\.parquet$")
_MARKER = re.compile(r"^stale-(p\d{5,}-\d{5,}|f\d{5,}-\d{5,}-\d{5,})-[0-9a-f]{32}$")
_ANNOUNCEMENT = re.compile(r"^late-(p\d{5,}-\d{5,}|f\d{5,}-\d{5,}-\d{5,})-[0-9a-f]{32}$")
_SEARCH_INDEX = re.compile(r"^(\d{5,})\.index$")
_RUN = re.compile(r"^\d{8}T\d{6}-[0-9a-f]{6}\.json$")


def plan_name(number: int) -> str:
    """Return a plan's name; numbers have no hole, so that two drivers cannot both add one."""
    return f"p{number:05d}"


def shard_name(plan: str, number: int) -> str:
    return f"{plan}-{number:05d}"


def follow_up_name(shard: str) -> str:
    """Return the name of the plan that continues the videos of a shard that were split."""
    return f"f{shard[1:]}"


def is_follow_up(plan: str) -> bool:
    return plan.startswith("f")


def root_plan_of(plan: str) -> str:
    """Return the numbered plan that a plan belongs to: itself, or the one that it follows."""
    return f"p{plan[1:].partition('-')[0]}"


def plan_key(plan: str) -> str:
    return f"{PLANS}/{plan}.parquet"


def plan_of(shard: str) -> str:
    """Return the plan of a shard."""
    return shard.rpartition("-")[0]


def group_of(name: str) -> int:
    """Return the number of the numbered plan that a plan or shard belongs to, with follow-ups."""
    return int(name[1:].partition("-")[0])


def segment_name(number: int) -> str:
    """Return the name of a segment; numbers have no hole above the newest."""
    return f"{number:05d}.parquet"


def segment_numbers(listing: dict[str, int]) -> list[int]:
    """Return the segments in a listing of `index/`, oldest first."""
    return sorted(int(m[1]) for name in listing if (m := _SEGMENT.match(name)))


def search_index_key(number: int) -> str:
    """Return the key of an index of the embeddings; the highest number is in force."""
    return f"{SEARCH}/{number:05d}.index"


def search_index_numbers(listing: dict[str, int]) -> list[int]:
    """Return the indexes in a listing of `search/`, oldest first."""
    return sorted(int(m[1]) for name in listing if (m := _SEARCH_INDEX.match(name)))


def note_names(listing: dict[str, int]) -> list[str]:
    """Return the notes in a listing of `index/`."""
    return [name for name in listing if _NOTE.match(name)]


def marker_key(shard: str) -> str:
    """Return a new key of a marker: the file of this shard is being replaced."""
    return f"{INDEX}/stale-{shard}-{here().token()}"


def marker_names(listing: dict[str, int]) -> dict[str, str]:
    """Return the shard of each marker in a listing of `index/`, by the marker's name."""
    return {name: m[1] for name in listing if (m := _MARKER.match(name))}


def announcement_key(shard: str) -> str:
    """Return a new key of an announcement: an attempt with errors writes this shard."""
    return f"{INDEX}/late-{shard}-{here().token()}"


def announcements_of(shard: str, listing: dict[str, int]) -> list[str]:
    """Return the names of the announcements of a shard in a listing of `index/`."""
    return [n for n in listing if (m := _ANNOUNCEMENT.match(n)) and m[1] == shard]


def plan_names(listing: dict[str, int]) -> list[str]:
    """Return the plans in a listing of `plans/`, oldest first, follow-ups behind their plan."""
    return in_order(m[1] for name in listing if (m := _PLAN.match(name)))


def shard_names(listing: dict[str, int]) -> list[str]:
    """Return the committed shards in a listing of `features/`, in plan order."""
    return in_order(m[1] for name in listing if (m := _SHARD.match(name)))


def in_order(names: Iterable[str]) -> list[str]:
    """Sort plans or shards by their numbers."""
    return sorted(names, key=lambda name: [int(part) for part in name[1:].split("-")])


def run_names(listing: dict[str, int]) -> list[str]:
    """Return the names of run summaries in a listing of `runs/`, oldest first."""
    return sorted(name for name in listing if _RUN.match(name))
