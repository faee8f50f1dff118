"""A node's fault costs the node, and nothing else: leases go elsewhere, and no unit is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.pretended import PretendedMachines, facts, notices, work_through
from tests.engine.test_ledger import lease
from vfeat.engine.executor import Assembled, Finished
from vfeat.engine.preflight import LOW_SPACE
from vfeat.engine.worker_fault import WorkerFault, device_lost
from vfeat.errors import DeviceLost, EnvironmentMissing, NodeDiffers
from vfeat.plan.unit import Lease

LEASES = [lease(number) for number in range(6)]
DIFFERS = NodeDiffers("host-b has torch 2.0 instead of 2.8")


def finished_on(events: list[object]) -> set[str]:
    assert not any(isinstance(event, Assembled) for event in events), "a unit was blamed"
    done = [event for event in events if isinstance(event, Finished)]
    assert {event.lease.shard for event in done} == {one.shard for one in LEASES}
    return {event.node for event in done}


@pytest.mark.parametrize(
    "fault",
    [
        DIFFERS,
        EnvironmentMissing("the weights are not there"),
        WorkerFault("lease", "ModuleNotFoundError: No module named 'vfeat'", has_ended=True),
    ],
)
def test_a_node_on_which_no_worker_can_be_set_up_is_named_and_gets_no_lease(
    fault: Exception,
) -> None:
    machines = PretendedMachines("a", "b")
    machines.set_up = lambda node: fault if node == "b" else facts(node)
    events = work_through(machines, LEASES)
    assert finished_on(events) == {"a"}
    [told] = [text for text in notices(events) if "node" in text]
    assert "address-b (b)" in told and str(fault) in told
    assert {node for node, _ in machines.done} == {"a"}


def test_nodes_that_all_differ_end_the_job_with_each_reason() -> None:
    machines = PretendedMachines("a", "b")
    machines.set_up = lambda node: NodeDiffers(f"host-{node} has torch 2.0 instead of 2.8")
    with pytest.raises(EnvironmentMissing, match="no node can work") as raised:
        work_through(machines, LEASES)
    assert "host-a has torch" in str(raised.value) and "host-b has torch" in str(raised.value)
    assert machines.started == ["a", "b"] and not machines.done


def test_a_single_node_that_differs_ends_the_job_at_once() -> None:
    machines = PretendedMachines("b")
    machines.set_up = lambda node: DIFFERS
    with pytest.raises(NodeDiffers, match="host-b has torch"):
        work_through(machines, LEASES)


def test_a_node_with_another_kernel_is_left_out() -> None:
    machines = PretendedMachines("a", "b", "c")
    machines.set_up = lambda node: facts(node, kernel="torch" if node == "c" else "cpu")
    events = work_through(machines, LEASES)
    assert finished_on(events) <= {"a", "b"}
    assert any("c uses the kernel torch, and a uses cpu" in text for text in notices(events))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_node_that_does_not_reach_the_sources_is_left_out(tmp_path: Path, is_there: bool) -> None:
    """Unless nobody reaches them: then it is the video that is gone."""
    video = tmp_path / "video.mp4"
    if is_there:
        video.write_bytes(b"bytes")
    units = tuple(replace(unit, uri=str(video)) for unit in LEASES[0].units)
    machines = PretendedMachines("a", "b")
    machines.set_up = lambda node: facts(node, unreachable="no such file" if node == "b" else None)
    events = work_through(machines, [replace(LEASES[0], units=units), *LEASES[1:]])
    assert [setup.sample for setup in machines.setups] == [str(video)] * 2
    told = any("b does not reach a source that the driver reaches" in t for t in notices(events))
    assert told == is_there
    assert finished_on(events) == ({"a"} if is_there else {"a", "b"})


def test_a_lost_gpu_is_its_nodes_fault_and_no_videos() -> None:
    lost = device_lost(RuntimeError("CUDA error: unspecified launch failure\nmore"))
    assert isinstance(lost, DeviceLost)
    machines = PretendedMachines("a", "b")
    machines.work = lambda node, lease: lost if node == "b" else None
    events = work_through(machines, LEASES)
    assert finished_on(events) == {"a"}
    assert any("address-b (b) rests for 15 s: a GPU of" in text for text in notices(events))
    assert device_lost(RuntimeError("shapes do not match")) is None


def test_a_run_whose_only_node_fails_again_and_again_ends_with_the_reason() -> None:
    machines = PretendedMachines("a")
    machines.work = lambda node, lease: WorkerFault("node", "low on memory", has_ended=True)
    with pytest.raises(EnvironmentMissing) as raised:
        work_through(machines, LEASES)
    text = str(raised.value)
    assert "every node that could hold a worker is left out" in text and "low on memory" in text
    assert len(machines.started) > 2


def test_what_has_failed_on_a_node_is_given_to_another_one() -> None:
    machines = PretendedMachines("a", "b")
    leases = [replace(one, avoid=frozenset("b" if i % 2 else "a")) for i, one in enumerate(LEASES)]
    finished_on(work_through(machines, leases))
    for node, shard in machines.done:
        (mine,) = (one for one in leases if one.shard == shard)
        assert node not in mine.avoid


def test_nothing_waits_for_a_node_that_is_left_out() -> None:
    """A suspect and a failure of another node are tried where they can be."""
    machines = PretendedMachines("a", "b")
    machines.set_up = lambda node: DIFFERS if node == "b" else facts(node)
    killer = LEASES[0].shard

    def work(node: str, one: Lease) -> object:
        return WorkerFault("lease", "it died", has_ended=True) if one.shard == killer else None

    machines.work = work
    leases = [lease(0, 1), replace(LEASES[1], avoid=frozenset("a"))]
    events = work_through(machines, leases)
    [assembled] = [event for event in events if isinstance(event, Assembled)]
    [error] = assembled.results[0].outcome.errors
    assert (error.error_class, error.attempts) == ("crashed", 3)
    assert [event.lease.shard for event in events if isinstance(event, Finished)] == [
        LEASES[1].shard
    ]


def test_the_table_of_the_nodes_is_shown_once_and_low_space_is_a_warning() -> None:
    machines = PretendedMachines("a", "b")
    machines.set_up = lambda node: facts(node, free_bytes=LOW_SPACE - (node == "b"))
    told = notices(work_through(machines, LEASES))
    assert [text for text in told if "GiB memory" in text] == [
        facts("a", free_bytes=LOW_SPACE).line(),
        facts("b", free_bytes=LOW_SPACE - 1).line(),
    ]
    assert [text for text in told if text.startswith("b: only 2.00 GiB are free")]
    assert not notices(work_through(PretendedMachines("a"), LEASES))


def test_a_cluster_without_a_node_is_named_and_waited_for() -> None:
    machines = PretendedMachines("a")
    late, machines.names = machines.names, ()

    def joins(seconds: float) -> None:
        machines._now_s += seconds
        if machines._now_s > 90:
            machines.names = late

    machines.pause = joins  # type: ignore[method-assign]
    events = work_through(machines, LEASES)
    assert len([text for text in notices(events) if "no living node" in text]) == 1
    assert finished_on(events) == {"a"}
