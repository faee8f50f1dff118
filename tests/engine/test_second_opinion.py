"""What is tried on another node: samples of each node and class, and all where one succeeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.engine.test_ledger import unit
from vfeat.engine.second_opinion import SAMPLE, Doubt, SecondOpinions
from vfeat.errors import ErrorClass
from vfeat.outcome import Outcome
from vfeat.plan.unit import Lease, Unit


def failed(
    opinions: SecondOpinions, node: str, numbers: Iterable[int], kind: ErrorClass = "crashed"
) -> None:
    """Let a shard fail on a node, a unit for each number."""
    units = [unit(f"{node}{number}") for number in numbers]
    outcomes = [one.failure(kind, "it failed", 2) for one in units]
    opinions.note(Lease("p00001-00000", tuple(units)), outcomes, node)


def again(opinions: SecondOpinions, doubts: list[Doubt], good: Iterable[str] = ()) -> list[Doubt]:
    """Do doubtful failures again; those of `good` succeed."""
    units = [replace(unit(doubt.key[0]), attempts=doubt.error.attempts) for doubt in doubts]
    lease = Lease("p00002-00000", tuple(units))
    outcomes = [_outcome(one, one.video_id in good) for one in units]
    settled = opinions.settle(lease, outcomes)
    opinions.note(lease, outcomes, "another")  # what fails again is not tried a third time
    return settled


def _outcome(one: Unit, is_good: bool) -> Outcome:
    if is_good:
        return Outcome(one.video_id, one.uri, 0, one.clips - 1, one.clips)
    return one.failure("crashed", "it failed", 4)


def test_of_a_corpus_that_is_bad_a_sample_is_tried_and_the_rest_stands() -> None:
    opinions = SecondOpinions()
    failed(opinions, "x", range(1000))
    doubts = opinions.next_round()
    assert len(doubts) == SAMPLE
    assert again(opinions, doubts) == doubts
    assert opinions.next_round() == [] and opinions.standing == 1000 - SAMPLE
    failed(opinions, "x", [2000])
    assert opinions.next_round() == [], "the sample of this node and class is taken"


def test_of_a_broken_node_all_is_tried_as_soon_as_one_succeeds_elsewhere() -> None:
    opinions = SecondOpinions()
    failed(opinions, "x", range(100))
    failed(opinions, "y", range(100))
    doubts = opinions.next_round()
    assert {doubt.node for doubt in doubts} == {"x", "y"} and len(doubts) == 2 * SAMPLE
    again(opinions, doubts, good={"x3"})
    rest = opinions.next_round()
    assert len(rest) == 100 - SAMPLE and {doubt.node for doubt in rest} == {"x"}
    again(opinions, rest)
    assert opinions.next_round() == [] and opinions.standing == 100 - SAMPLE


def test_classes_are_judged_apart_and_a_videos_own_fault_is_not_doubted() -> None:
    opinions = SecondOpinions()
    failed(opinions, "x", range(3), "crashed")
    failed(opinions, "x", range(3, 6), "internal")
    failed(opinions, "x", range(6, 9), "undecodable")
    doubts = opinions.next_round()
    assert sorted(doubt.key[0] for doubt in doubts) == [f"x{number}" for number in range(6)]


def test_a_lease_avoids_the_nodes_of_its_units_until_it_is_settled() -> None:
    opinions = SecondOpinions()
    failed(opinions, "x", [1])
    [doubt] = opinions.next_round()
    lease = Lease("p00002-00000", (replace(unit("x1"), attempts=2),))
    assert opinions.nodes_of(lease) == {"x"}
    assert opinions.nodes_of(Lease("p00001-00000", (unit("x1"),))) == frozenset()
    again(opinions, [doubt])
    assert opinions.nodes_of(lease) == frozenset()
