"""Videos whose content is known in advance, and what a decoder would report of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.sim.kernel import Kernel
from tests.sim.store import Store
from vfeat.corpus import Video
from vfeat.errors import ErrorClass
from vfeat.outcome import Outcome, RangeError, Split
from vfeat.plan.unit import Unit
from vfeat.video_facts import Probe, Timeline

BUCKET = "corpus"
CLIP_BYTES = 250_000  # what the planner expects of a clip


@dataclass(frozen=True)
class Film:
    """The truth about one object.

    Attributes:
        clips: of its grid.
        empty: clips without a frame.
        broken: clips that do not decode.
        fault: unreadable, or killer: whoever decodes it dies.
    """

    name: str
    version: int
    clips: int
    empty: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()
    fault: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.name}.mp4"

    @property
    def etag(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def size_bytes(self) -> int:
        return self.clips * CLIP_BYTES

    @property
    def video_id(self) -> str:
        return Video(self.uri, self.size_bytes, self.etag).video_id

    @property
    def rows(self) -> set[int]:
        """Clips that have rows in the end."""
        if self.fault:
            return set()
        return set(range(self.clips)) - self.empty - self.broken

    @property
    def error_class(self) -> ErrorClass | None:
        """Class of all its errors."""
        if self.fault:
            return "crashed" if self.fault == "killer" else "unreadable"
        return "undecodable" if self.broken else None

    def probe(self) -> Probe:
        timeline = Timeline(1, 1000, 0, self.clips * 1000, self.clips * 30)
        return Probe(
            "mov", "h264", 64, 64, 0, timeline, self.clips, len(self.empty), 0.1, scanned=True
        )

    def outcome(self, unit: Unit) -> Outcome:
        """Return what the decoder reports of a unit, as `vfeat.media` does."""
        if self.etag != unit.etag:
            return unit.changed()
        if self.fault:
            return unit.failure("unreadable", f"{self.uri}: simulated")
        probe = unit.probe or self.probe()
        end, split = probe.n_clips - 1, None
        if unit.last_clip is not None:
            end = unit.last_clip
        elif unit.unit_clips is not None:
            _, last = next(probe.ranges(unit.first_clip, end, 2 * unit.unit_clips))
            if last < end:
                _, last = next(probe.ranges(unit.first_clip, end, unit.unit_clips))
                end, split = last, Split(end, unit.unit_clips, 2)
        inside = range(unit.first_clip, end + 1)
        empty = tuple((c, c) for c in inside if c in self.empty)
        errors = tuple(
            RangeError(c, c, "undecodable", f"{self.uri}: simulated", 1)
            for c in inside
            if c in self.broken
        )
        rows = len(inside) - len(empty) - len(errors)
        found = probe if unit.probe is None else None
        return Outcome(
            unit.video_id, unit.uri, unit.first_clip, end, rows, empty, errors,
            probe=found, split=split,
        )  # fmt: skip


@dataclass
class Archive:
    """The objects of the corpus, all that ever were, and the list of those that are there.

    Attributes:
        films: what is there, by name.
        every: each version of each film by its video_id.
    """

    kernel: Kernel
    store: Store
    list_path: Path
    films: dict[str, Film] = field(default_factory=dict)
    every: dict[str, Film] = field(default_factory=dict)
    moods: dict[str, float] = field(default_factory=dict)

    def put(self, film: Film) -> None:
        """Add a film, or replace it."""
        self.films[film.name] = film
        self.every[film.video_id] = film
        content = json.dumps(film.etag).encode()
        self.store.place(f"{BUCKET}/{film.name}.mp4", content)
        stored = self.store.objects[f"{BUCKET}/{film.name}.mp4"]
        stored.etag, stored.size_bytes = film.etag, film.size_bytes

    def remove(self, name: str) -> None:
        del self.films[name]
        self.store.objects.pop(f"{BUCKET}/{name}.mp4")

    def at(self, uri: str) -> Film | None:
        """Return what is at an address at present."""
        return self.films.get(uri.rpartition("/")[2].removesuffix(".mp4"))

    def draw(self, name: str, version: int = 0) -> Film:
        """Make up a film."""
        chance = self.kernel.chance
        clips = chance.randint(17, 40) if self.kernel.happens(0.15) else chance.randint(1, 6)
        film = Film(name, version, clips)
        if self.kernel.happens(self.moods.get("unreadable", 0)):
            return replace(film, fault="unreadable")
        if self.kernel.happens(self.moods.get("killer", 0)):
            return replace(film, fault="killer")
        if self.kernel.happens(self.moods.get("broken", 0)):
            film = replace(film, broken=frozenset({chance.randrange(clips)}))
        if self.kernel.happens(0.1):
            film = replace(film, empty=frozenset({chance.randrange(clips)}) - film.broken)
        return film

    def change(self, name: str) -> None:
        """Replace a film by another one of its name, with an etag that none has had."""
        last = max(film.version for film in self.every.values() if film.name == name)
        self.put(self.draw(name, last + 1))

    def heal(self) -> None:
        """Let what failed before be readable, with the same etags."""
        for film in list(self.films.values()):
            if film.error_class is not None and self.kernel.happens(0.7):
                healed = replace(film, fault="", broken=frozenset())
                self.films[film.name] = self.every[film.video_id] = healed

    def write_list(self) -> None:
        """Write the list as a listing would be."""
        films = sorted(self.films.values(), key=lambda film: film.name)
        table = pa.table(
            {
                "uri": [film.uri for film in films],
                "size_bytes": pa.array([film.size_bytes for film in films], pa.int64()),
                "etag": [film.etag for film in films],
            }
        )
        pq.write_table(table, self.list_path)


def films_of(archive: Archive, names: Iterator[str], count: int) -> None:
    """Add so many films."""
    for _ in range(count):
        archive.put(archive.draw(next(names)))
