"""The ledger's laws: whatever dies, every shard ends exactly once, and blame is exact."""

from __future__ import annotations

import random

import pytest

from vfeat.engine.lease_ledger import SHARD_KILLS, Ledger
from vfeat.engine.lease_queue import LeaseQueue
from vfeat.engine.worker_protocol import UnitResult
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease, Unit


def unit(name: str, clips: int = 2) -> Unit:
    return Unit(name, f"/videos/{name}", 1, "e", 0, clips - 1, 1.0, None)


def lease(number: int, units: int = 3) -> Lease:
    return Lease(f"p00001-{number:05d}", tuple(unit(f"v{number}.{i}") for i in range(units)))


def queued(leases: list[Lease]) -> LeaseQueue:
    queue = LeaseQueue()
    queue.add(iter(leases))
    queue.end()
    return queue


def good(unit: Unit) -> UnitResult:
    return UnitResult(Outcome(unit.video_id, unit.uri, 0, unit.last_clip, unit.clips), ())


def test_everybody_gets_something_and_the_ledger_runs_dry() -> None:
    ledger = Ledger(queued([lease(0), lease(1)]))
    a, b = ledger.take("a", 0.0), ledger.take("b", 0.0)
    assert a is not None and b is not None and a.shard != b.shard
    assert ledger.take("a", 0.0) is None
    assert not ledger.idle
    ledger.done(a, "a", 1.0)
    ledger.done(b, "b", 1.0)
    assert ledger.idle


def test_a_death_blames_the_oldest_lease_only() -> None:
    ledger = Ledger(queued([lease(0), lease(1)]))
    oldest, prefetched = ledger.take("a", 0.0), ledger.take("a", 1.0)
    assert oldest is not None and prefetched is not None
    for _ in range(SHARD_KILLS):
        ledger.died("a")
        retaken = [ledger.take("a", 2.0), ledger.take("a", 3.0)]
        # the innocent one comes back first and whole; it is finished, so the blamed one is left
        assert retaken[0] is prefetched or prefetched.shard not in {r.shard for r in retaken if r}
        if retaken[0] is prefetched:
            ledger.done(prefetched, "a", 4.0)
    ledger.died("a")
    part = ledger.take("b", 5.0)
    assert part is not None and part.shard == oldest.shard and part.alone is not None


def test_a_shard_that_kills_twice_is_split_and_the_killer_becomes_an_error_row() -> None:
    ledger = Ledger(queued([lease(0)]))
    for _ in range(SHARD_KILLS):
        assert ledger.take("a", 0.0) is not None
        assert ledger.died("a") is None
    ended = None
    while (part := ledger.take("a", 0.0)) is not None:
        assert part.alone is not None
        if part.alone == 1:
            ended = ledger.died("a") or ended
        else:
            ended = ledger.done(part, "a", 0.0, good(part.units[part.alone])) or ended
    assert ended is not None and ended.complete
    assert [r.outcome.rows for _, r in sorted(ended.results.items())] == [2, 0, 2]
    [error] = ended.results[1].outcome.errors
    assert (error.error_class, error.first_clip, error.last_clip, error.attempts) == (
        "crashed", 0, 1, 3,
    )  # fmt: skip
    assert "alone (3 times)" in error.message
    assert "v0.1" in error.message
    assert ledger.idle


def test_work_that_comes_later_is_waited_for() -> None:
    queue = LeaseQueue()
    ledger = Ledger(queue)
    assert ledger.take("a", 0.0) is None and not ledger.idle
    queue.add(iter([lease(0)]))
    first = ledger.take("a", 0.0)
    assert first is not None
    ledger.done(first, "a", 1.0)
    assert not ledger.idle
    queue.end()
    assert ledger.take("a", 1.0) is None and ledger.idle
    queue.add(iter([lease(1)]))  # a follow-up of what was finished last
    assert not ledger.idle
    assert ledger.take("a", 2.0) is not None


def test_stopping_hands_out_nothing_more() -> None:
    ledger = Ledger(queued([lease(0), lease(1)]))
    taken = ledger.take("a", 0.0)
    assert taken is not None
    ledger.stopping = True
    assert ledger.take("a", 0.0) is None
    assert not ledger.idle
    ledger.done(taken, "a", 1.0)
    assert ledger.idle


def test_a_slow_lease_runs_twice_and_counts_once() -> None:
    ledger = Ledger(queued([lease(0), lease(1)]))
    slow, quick = ledger.take("a", 0.0), ledger.take("b", 0.0)
    assert slow is not None and quick is not None
    ledger.done(quick, "b", 10.0)
    assert ledger.take("b", 20.0) is None
    again = ledger.take("b", 100.0)
    assert again is slow
    assert ledger.take("c", 100.0) is None  # twice, not three times
    ledger.done(slow, "b", 101.0)
    assert ledger.in_flight == 0 and ledger.idle  # the other copy is of no use any more
    assert ledger.idlers() == {"a"}
    ledger.died("a")
    assert ledger.idle  # and its death costs nothing: the shard is done


def test_a_finished_shard_is_never_done_again() -> None:
    """A worker hangs for ever with one of two shards, and the other is done again and again."""
    ledger = Ledger(queued([lease(0), lease(1)]))
    hung, quick = ledger.take("a", 0.0), ledger.take("b", 0.0)
    assert hung is not None and quick is not None
    ledger.done(quick, "b", 1.0)
    copy = ledger.take("b", 1000.0)
    assert copy is hung
    ledger.done(copy, "b", 1001.0)
    assert all(ledger.take("b", now) is None for now in (2000.0, 3000.0))
    assert ledger.idle


def split_of(ledger: Ledger) -> None:
    """Let the first shard kill twice, so that its units are suspects."""
    for _ in range(SHARD_KILLS):
        assert ledger.take("first", 0.0) is not None
        ledger.died("first")


def test_a_suspect_is_truly_alone() -> None:
    ledger = Ledger(queue := queued([lease(0), lease(1)]))
    busy = ledger.take("busy", 0.0)
    split_of(ledger)
    queue.add(iter([lease(2)]))
    assert ledger.take("busy", 0.0) is None, "a worker with a lease must not get a suspect beside"
    suspect = ledger.take("free", 0.0)
    assert suspect is not None and suspect.alone is not None
    assert ledger.take("free", 0.0) is None, "nor a suspect anything beside itself"
    assert busy is not None
    ledger.done(busy, "busy", 1.0)
    assert ledger.take("busy", 1.0) is not None


def test_a_suspect_is_tried_on_several_nodes_where_there_are_several() -> None:
    ledger = Ledger(queued([lease(0, 1)]))
    ledger.nodes = frozenset("xy")
    split_of(ledger)
    assert ledger.take("a", 0.0, "x") is not None
    ledger.died("a")
    assert ledger.take("b", 0.0, "x") is None, "it has killed on this node already"
    assert ledger.take("c", 0.0, "y") is not None
    ledger.died("c")
    assert ledger.take("d", 0.0, "x") is not None, "every node was tried"
    ended = ledger.died("d")
    assert ended is not None
    [error] = ended.results[0].outcome.errors
    assert error.attempts == 3 and "on 2 nodes" in error.message


def test_a_lost_node_blames_nobody_however_often() -> None:
    ledger = Ledger(queued([lease(0), lease(1)]))
    for _ in range(20):
        taken = [ledger.take("a", 0.0), ledger.take("a", 0.0)]
        assert all(one is not None and one.alone is None for one in taken)
        ledger.returned("a")
    assert ledger.deaths == 0 and not ledger.idle
    ledger = Ledger(queued([lease(0)]))
    split_of(ledger)
    for _ in range(20):
        suspect = ledger.take("b", 0.0)
        assert suspect is not None and suspect.alone is not None
        ledger.returned("b")
    assert not ledger.idle


def test_a_suspect_counts_once_among_the_deaths_of_machines_that_have_worked() -> None:
    ledger = Ledger(queued([lease(0), lease(1, 2)]))
    first = ledger.take("a", 0.0)
    assert first is not None
    ledger.done(first, "a", 1.0)
    for _ in range(SHARD_KILLS):
        assert ledger.take("a", 2.0) is not None
        ledger.died("a")
    assert ledger.deaths == 1
    ended = None
    while ledger.take("a", 3.0) is not None:
        ended = ledger.died("a") or ended
        assert ledger.deaths <= 3  # the shard and its two units
    assert ended is not None and ended.complete


def test_deaths_are_counted_until_something_is_finished() -> None:
    ledger = Ledger(queued([lease(0, 4)]))
    split_of(ledger)
    assert ledger.deaths == SHARD_KILLS
    suspect = ledger.take("a", 0.0)
    assert suspect is not None and suspect.alone is not None
    ledger.done(suspect, "a", 1.0, good(suspect.units[suspect.alone]))
    assert ledger.deaths == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_deaths_lose_nothing_and_double_nothing(seed: int) -> None:
    rng = random.Random(seed)
    leases = [lease(i, rng.randint(1, 4)) for i in range(12)]
    ledger = Ledger(queued(leases))
    poison = {f"v{rng.randrange(12)}.0" for _ in range(2)}
    held: dict[str, list[Lease]] = {w: [] for w in "abc"}
    ended: list[str] = []
    now = 0.0
    for _ in range(5000):
        if ledger.idle:
            break
        now += 1.0
        worker = rng.choice("abc")
        if len(held[worker]) < 2 and (taken := ledger.take(worker, now)) is not None:
            held[worker].append(taken)
            continue
        if not held[worker]:
            continue
        oldest = held[worker][0]
        units = oldest.units if oldest.alone is None else (oldest.units[oldest.alone],)
        if any(u.video_id in poison for u in units) or rng.random() < 0.05:
            held[worker] = []
            split = ledger.died(worker)
        else:
            held[worker].pop(0)
            result = None if oldest.alone is None else good(units[0])
            split = ledger.done(oldest, worker, now, result)
            if oldest.alone is None:
                ended.append(oldest.shard)
        if split is not None:
            assert split.complete
            ended.append(split.lease.shard)
    assert ledger.idle
    assert set(ended) == {x.shard for x in leases}
