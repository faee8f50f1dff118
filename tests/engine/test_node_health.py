"""Nodes rest after faults, are left out after a few, and come back when they work."""

from __future__ import annotations

from vfeat.engine.node_health import FIRST_REST_S, STRIKES_OUT, NodeHealth
from vfeat.errors import MachineFull, StorageError

MEMORY, STORE = MemoryError("the node is low on memory"), StorageError("the store is away")


def test_a_node_rests_longer_each_time_and_is_left_out_at_last() -> None:
    health, now_s = NodeHealth(), 0.0
    for count in range(1, STRIKES_OUT):
        told = health.strike("a", MEMORY, now_s)
        rest_s = FIRST_REST_S * 2 ** (count - 1)
        assert f"rests for {rest_s:.0f} s: the node is low on memory" in told
        assert not health.can_work("a", now_s + rest_s - 1)
        now_s += rest_s
        assert health.can_work("a", now_s)
        assert health.all_fail({"a"}) is None
    assert "left out" in health.strike("a", MEMORY, now_s)
    assert not health.can_work("a", now_s + 1e9)
    assert health.all_fail({"a"}) is MEMORY
    assert health.all_fail({"a", "b"}) is None and health.can_work("b", now_s)


def test_a_node_that_works_again_is_forgiven() -> None:
    health = NodeHealth()
    for _ in range(STRIKES_OUT - 1):
        health.strike("a", MEMORY, 0.0)
    health.worked("a")
    assert health.can_work("a", 0.0)
    assert "rests for 15 s" in health.strike("a", MEMORY, 0.0)


def test_a_store_that_no_node_reaches_ends_the_job_at_once() -> None:
    health = NodeHealth()
    health.strike("a", STORE, 0.0)
    assert health.all_fail({"a", "b"}) is None
    health.strike("b", MEMORY, 1.0)
    assert health.all_fail({"a", "b"}) is None, "memory may be free again"
    health.strike("b", STORE, 2.0)
    assert health.all_fail({"a", "b"}) is STORE
    assert health.all_fail(set()) is None


def test_a_full_disk_is_given_its_rests() -> None:
    health = NodeHealth()
    for _ in range(STRIKES_OUT - 1):
        health.strike("a", MachineFull("/tmp is full"), 0.0)
        assert health.all_fail({"a"}) is None
    health.strike("a", MachineFull("/tmp is full"), 0.0)
    assert isinstance(health.all_fail({"a"}), MachineFull)
