"""The slowest resource of a run: laws of its shares, and the option that is named for it."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import get_args

import pytest
import typer.testing

from vfeat.cli.app import app
from vfeat.engine.bottleneck import Bottleneck, Resource, find_bottleneck
from vfeat.engine.crew import Crew
from vfeat.engine.knobs import Knobs, knob, more_decoders
from vfeat.engine.work_clock import WorkClock
from vfeat.engine.worker_protocol import Progress
from vfeat.surroundings import Surroundings, use

GPU = "NVIDIA H200"
DECODING, HANDING = ("storage", "decode"), ("hand-over", "model")


def worker(run_s: float = 100.0, children: int = 4, **seconds: float) -> Progress:
    return Progress(
        pid=1, run_s=run_s, children=children, child_s=run_s * children, clips=1, **seconds
    )


def found(*workers: Progress, feeders: tuple[Progress, ...] = (), cores: int = 8) -> Bottleneck:
    limit = find_bottleneck(workers, feeders, wall_s=110.0, cores=cores)
    assert limit is not None
    return limit


def test_a_run_that_did_nothing_has_none() -> None:
    assert find_bottleneck((), wall_s=1) is None
    assert find_bottleneck((Progress(),), wall_s=1) is None
    assert find_bottleneck((worker(),), wall_s=100) is None


def chance_worker(draw: random.Random, device: str) -> Progress:
    """A worker whose clocks may disagree, as threads and lost feeders make them."""
    run_s, children = draw.uniform(1, 100), draw.choice((0, 1, 4, 31))
    by_children = run_s * max(children, 1) * 1.2
    return Progress(
        pid=1, device=device, run_s=run_s, children=children, child_s=run_s * children,
        encode_s=draw.uniform(0, run_s), hand_over_s=draw.uniform(0, run_s),
        write_s=draw.uniform(0, 2 * run_s), read_s=draw.uniform(0, by_children),
        decode_s=draw.uniform(0, by_children), blocked_s=draw.uniform(0, by_children),
    )  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_shares_of_the_same_hands_are_at_most_one_and_the_busiest_are_named(device: str) -> None:
    draw = random.Random(7)
    for _ in range(2000):
        workers = [chance_worker(draw, device) for _ in range(draw.randint(1, 5))]
        limit = found(*workers)
        shares = dict(limit.shares)
        assert set(shares) == {*DECODING, *HANDING, "write"}
        assert all(0 <= share <= 1 for share in (*shares.values(), limit.blocked, limit.busy))
        if any(one.child_s for one in workers):
            groups = [DECODING, *([(name,) for name in HANDING] if device == GPU else [HANDING])]
        else:
            groups = [(*DECODING, *HANDING)]
        sums = {names: min(1.0, sum(shares[n] for n in names)) for names in (*groups, ("write",))}
        assert all(sum(shares[n] for n in names) <= 1 + 1e-9 for names in sums)
        mine = next(names for names in sums if limit.resource in names)
        assert sums[mine] == pytest.approx(limit.busy) and limit.busy == max(sums.values())
        assert limit.share == shares[limit.resource] == max(shares[name] for name in mine)


@pytest.mark.parametrize(
    ("seconds", "resource"),
    [
        ({"read_s": 300, "decode_s": 90, "encode_s": 40}, "storage"),
        ({"read_s": 90, "decode_s": 300, "encode_s": 40}, "decode"),
        # together they are busier than the model, each alone is not
        ({"read_s": 150, "decode_s": 240, "encode_s": 70}, "decode"),
        ({"decode_s": 100, "blocked_s": 290, "encode_s": 95}, "model"),
        ({"decode_s": 100, "blocked_s": 290, "encode_s": 20, "hand_over_s": 75}, "hand-over"),
        ({"decode_s": 100, "encode_s": 20, "write_s": 160}, "write"),
    ],
)
def test_what_takes_most_of_the_busiest_hands_is_named(
    seconds: dict[str, float], resource: str
) -> None:
    limit = found(worker(**seconds))
    assert (limit.resource, limit.is_clear) == (resource, True)
    assert f"{limit.share:.0%}" in limit.sentence and limit.sentence.startswith(resource)
    assert limit.computed == pytest.approx(seconds["encode_s"] / 100)


def test_a_gpu_computes_beside_the_thread_that_hands_over() -> None:
    """On CPUs one thread does both, and they add up."""
    seconds = {"decode_s": 260.0, "encode_s": 60.0, "hand_over_s": 35.0}
    assert found(worker(**seconds)).resource == "model"
    card = worker(**seconds)
    card.device = GPU
    limit = found(card)
    assert (limit.resource, limit.device) == ("decode", GPU)
    assert (
        limit.sentence == "decode: 65% of the time of 4 decoders; the GPU computed 60% of the time"
    )


def test_workers_and_feeders_add_up() -> None:
    """Count what a feeder decoded in its worker, and the time it had in the feeder."""
    one, other = worker(decode_s=700, encode_s=30), worker(decode_s=500, encode_s=50)
    alone = found(one, other)
    assert (alone.workers, alone.decoders) == (2, 8)
    assert alone.shares["decode"] == 1.0
    fed = found(one, other, feeders=(worker(children=8), worker(run_s=50, children=16)))
    assert fed.decoders == 8 + 24
    assert fed.shares["decode"] == pytest.approx(1200 / (800 + 800 + 800))
    assert fed.computed == pytest.approx(0.4)


def test_what_a_lost_worker_counted_stays() -> None:
    class Gone:
        def kill(self, handle: object) -> None: ...

        def now_s(self) -> float:
            return 0.0

    crew = Crew(Gone())  # type: ignore[arg-type]
    for number in range(2):
        crew.add("node", number, None, None)  # type: ignore[arg-type]
    first, second = crew
    first.progress = worker(decode_s=390, encode_s=10)
    second.progress = worker(decode_s=390, encode_s=10)
    before = found(*crew.counters())
    crew.remove(first)
    after = found(*crew.counters())
    assert after.shares == before.shares and after.computed == before.computed
    assert (before.workers, after.workers) == (2, 1)


class Clock(Surroundings):
    """Time that a test moves."""

    seconds = 0.0

    def now_s(self) -> float:
        return self.seconds


def test_only_time_with_work_in_hand_counts() -> None:
    """Nobody is blamed for loading a model, nor for a pause between leases."""
    clock = Clock()
    with use(clock):
        work = WorkClock()
        clock.seconds = 50.0  # the start
        assert work.seconds == 0.0
        with work:
            clock.seconds = 60.0
            with work:  # a second lease behind the first
                clock.seconds = 65.0
            assert work.seconds == 15.0
            clock.seconds = 70.0
        clock.seconds = 100.0
        assert work.seconds == 20.0
        with work:
            clock.seconds = 105.0
        assert work.seconds == 25.0


def test_nothing_is_blamed_where_everybody_was_idle() -> None:
    limit = found(worker(decode_s=100, read_s=8, encode_s=20))
    assert (limit.resource, limit.is_clear) == ("decode", False)
    assert limit.sentence.startswith("nothing for long")
    assert "--" not in limit.advice


def test_a_long_listing_is_not_the_decoders_fault() -> None:
    one = worker(run_s=10, decode_s=39, encode_s=2)
    limit = find_bottleneck((one,), wall_s=100.0)
    assert limit is not None and (limit.resource, limit.is_clear) == ("decode", True)
    assert limit.worked == 0.1 and limit.sentence.endswith("work was 10% of the run")
    assert limit.advice.startswith("the listing and the start took most")


def test_work_without_decoders_reads_in_its_own_thread() -> None:
    reads = Progress(pid=1, run_s=10, read_s=6, encode_s=3, write_s=0.5)
    limit = find_bottleneck((reads,), wall_s=11, noun="predictions")
    assert limit is not None and limit.resource == "storage"
    assert (
        limit.sentence == "storage: 60% of the time of 1 worker; the model computed 30% of the time"
    )
    stored = find_bottleneck(
        (Progress(pid=1, run_s=10, read_s=9, write_s=0.5),), wall_s=11, noun="steps"
    )
    assert stored is not None and "computed" not in stored.sentence


def knobs(resource: str, **other: object) -> Knobs:
    values: dict[str, object] = {
        "busy": 0.96, "next_busy": 0.3, "decoders": 4, "workers": 1, "cores": 32, "noun": "clips",
        "has_gpu": True, "is_fed": False, **other,
    }  # fmt: skip
    return Knobs(resource, **values)  # type: ignore[arg-type]


def test_as_many_decoders_are_named_as_the_model_can_use() -> None:
    assert knob(knobs("decode")) == "--decode-workers 13"  # 4 times 0.96 over 0.3
    assert knob(knobs("decode", workers=2)) == "--decode-workers 7"
    assert more_decoders(knobs("decode", next_busy=0.95)) == 5
    assert more_decoders(knobs("decode", next_busy=0.0)) == 16
    assert "--decode-workers 13," in knob(knobs("storage"))


def test_no_more_decoders_are_named_than_there_are_cores() -> None:
    assert knob(knobs("decode", cores=6)) == "--decode-workers 6"
    assert "--decode-on all" in knob(knobs("decode", cores=4))
    assert "--" not in knob(knobs("decode", cores=4, has_gpu=False))


def test_the_guide_has_a_line_for_each_resource() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "extract.md").read_text()
    section = guide.partition("## What limits a run")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.M) == list(get_args(Resource))


def test_options_that_are_named_exist() -> None:
    runner = typer.testing.CliRunner()
    commands = {"clips": "extract", "predictions": "classify", "steps": "import"}
    for noun, command in commands.items():
        shown = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        resources = ["storage", "write", "model"] + ["decode", "hand-over"] * (noun == "clips")
        named = set()
        for resource in resources:
            for cores in (4, 32):
                for has_gpu in (True, False):
                    text = knob(knobs(resource, noun=noun, cores=cores, has_gpu=has_gpu))
                    assert text
                    named |= set(re.findall(r"--[a-z-]+", text))
        assert named and all(option in shown for option in named), named
