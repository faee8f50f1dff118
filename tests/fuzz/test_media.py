"""Damaged videos through the pool: the short form of `python -m tests.fuzz`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.__main__ import NEIGHBOUR
from tests.fuzz.cases import GRIDS, RUN, Case, by_grid, make_case, read_case
from tests.fuzz.harness import LIMITS, Harness, run_cases
from tests.fuzz.laws import SIZE, ClipSeen, Trial, difference, outcome_faults
from tests.fuzz.mutate import MUTATORS, boxes, ebml, flv, kinds_of, nal, riff, transport
from tests.fuzz.mutate.draws import LARGEST_BYTES
from tests.fuzz.sources import Source, drawn, small_files
from tests.fuzz.strategies import many
from tests.media.truth import OWN
from vfeat.media.children.task import TaskDone
from vfeat.outcome import Outcome, RangeError

SEEDS = Path(__file__).parent / "seeds"
CASES = 8 * RUN  # every grid twice


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """The videos drawn here and the repository's: the same on every machine."""
    return [*drawn(tmp_path_factory.mktemp("drawn")), *small_files(OWN)]


def run(cases: Iterable[Case], folder: Path) -> list[Trial]:
    """Run cases; every law holds of each, of the neighbours and of the pool."""
    trials: list[Trial] = []
    for alike in by_grid(list(cases)):
        for ended in run_cases(alike, NEIGHBOUR, folder):
            if isinstance(ended, Harness):
                assert ended.faults == []
                assert 0 < ended.largest_bytes < LIMITS.memory_bytes
            else:
                assert ended.broken == [], ended.case.name
                trials.append(ended)
    return trials


def test_damaged_videos_are_errors_or_settled_and_neighbours_whole(
    sources: list[Source], tmp_path: Path
) -> None:
    cases = [make_case(sources, tuple(MUTATORS), 1, number) for number in range(CASES)]
    trials = run(cases, tmp_path)
    assert sorted(t.case.name for t in trials) == sorted(case.name for case in cases)
    ended = Counter(trial.how for trial in trials)
    assert ended["rows"] > CASES // 10 and ended["unreadable"] > CASES // 20
    assert ended["undecodable"] > 5 and ended["no_video"] > 2


def test_kept_videos_hold_the_laws(tmp_path: Path) -> None:
    kept = sorted(path for path in SEEDS.iterdir() if path.name.partition("-")[0] in MUTATORS)
    assert kept and all(path.stat().st_size < 20_000 for path in kept)
    assert len(run(map(read_case, kept), tmp_path)) == len(kept)


def test_every_kind_has_a_source_and_changes_it(tmp_path: Path) -> None:
    sources = drawn(tmp_path)
    for kind in MUTATORS:
        fitting = [source for source in sources if kind in kinds_of(source.suffix)]
        assert fitting, kind
        for source in fitting:
            made = [MUTATORS[kind](source.data, random.Random(seed)) for seed in range(8)]
            assert sum(data != source.data for data in made) >= 4, (kind, source.name)


def test_parsers_find_the_parts_of_whole_files(sources: list[Source]) -> None:
    for source in sources:
        data = source.data
        if source.name == "h264.mp4":
            assert {b"moov", b"stts", b"avcC"} <= {box.kind for box in boxes.parse(data)}
            assert len(nal.units(data)) > 20
        elif source.name == "vp9.webm":
            assert {0x4489, 0x1F43B675, 0xA3} <= {one.kind for one in ebml.parse(data)}
        elif source.name == "h264.ts":
            assert len(transport.packets(data)) == len(data) // transport.PACKET
        elif source.name == "mjpeg.avi":
            assert {b"avih", b"strf", b"idx1"} <= {chunk.kind for chunk in riff.parse(data)}
        elif source.name == "h264.flv":
            assert flv.tags(data)[-1][1] == len(data)


@many()
@given(kind=st.sampled_from(sorted(MUTATORS)), data=st.binary(max_size=400), seed=st.integers())
def test_mutators_take_any_bytes_and_give_the_same_again(kind: str, data: bytes, seed: int) -> None:
    for prefix in (b"", b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"FLV\x01", b"RIFF", b"\x47"):
        made = MUTATORS[kind](prefix + data, random.Random(seed))
        assert made == MUTATORS[kind](prefix + data, random.Random(seed))
        assert len(made) <= LARGEST_BYTES


def test_a_finding_replays_from_its_file(sources: list[Source], tmp_path: Path) -> None:
    case = make_case(sources, ("boxes", "noise"), 5, 123)
    (tmp_path / case.name).write_bytes(case.data)
    assert read_case(tmp_path / case.name) == case
    with pytest.raises(ValueError, match="expected KIND-"):
        read_case(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("wrong", "clips", "says"),
    [
        ({}, [0, 1], ""),
        ({"rows": 3}, [0, 1], "another number settled"),
        ({"errors": ()}, [0, 1], "never settled"),
        ({}, [0], "settled where"),
        ({}, [1, 0], "in this order"),
        ({}, [0, 1, 2], "settled where"),
        ({"empty": ((2, 2),)}, [0, 1], "settled where"),
        ({"changed": True}, [0, 1], "nobody touched"),
        ({"errors": (RangeError(2, 3, "internal", "x.mp4: Traceback"),)}, [0, 1], "bug of ours"),
        ({"errors": (RangeError(2, 3, "lost", "x.mp4"),)}, [0, 1], "not a public one"),  # type: ignore[arg-type]
        ({"errors": (RangeError(2, 3, "timeout", "y.mp4"),)}, [0, 1], "name the file"),
    ],
)
def test_the_laws_can_be_broken(wrong: dict[str, object], clips: list[int], says: str) -> None:
    """Two rows and two errors of four clips, in order or with one thing wrong."""
    lost = (RangeError(2, 3, "undecodable", "x.mp4: no frame"),)
    outcome = replace(Outcome("v", "x.mp4", 0, 3, 2, errors=lost), **wrong)  # type: ignore[arg-type]
    done = TaskDone(1, outcome, False, 9, 0.1)
    spec = GRIDS[0]
    shape = (1, spec.num_frames, SIZE, SIZE, 3)
    seen = [ClipSeen(n, float(n), n + 1.0, shape, "uint8", 0) for n in clips]
    faults = list(outcome_faults(done, seen, spec, "x.mp4"))
    assert any(says in fault for fault in faults) if says else faults == []


def test_two_decodes_must_not_differ() -> None:
    one = Outcome("v", "x.mp4", 0, 0, 1)
    clip = ClipSeen(0, 0.0, 1.0, (1,), "uint8", 7)
    assert list(difference(one, [clip], one, [clip])) == []
    assert "other pictures" in next(difference(one, [clip], one, [replace(clip, digest=8)]))
    assert "two outcomes" in next(difference(one, [clip], replace(one, bad_packets=1), [clip]))
