"""A real cluster of three nodes on this machine: one is broken, and one has another version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster
from ray.exceptions import RayTaskError

from tests.engine.commands import REPOSITORY, TINY_FLAGS, run, summary
from tests.engine.jobs import keys, verified
from vfeat.engine.preflight import versions
from vfeat.engine.ray_feeders import _Feeder
from vfeat.engine.ray_machines import _Actor, raised_text
from vfeat.errors import DeviceLost, NodeDiffers

FAULTY = ("--decoder", "tests.engine.faults:faulty", "--shard-minutes", "0.001")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster; its second node is broken, and its third has another torch."""
    folder = tmp_path_factory.mktemp("nodes")
    (folder / "bad-node").mkdir()
    other = folder / "other" / "torch-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "env_vars": _looks_in(REPOSITORY)}
    )
    try:
        made.add_node(num_cpus=1, env_vars=_looks_in(REPOSITORY, folder / "bad-node"))
        made.add_node(num_cpus=1, env_vars=_looks_in(other.parent, REPOSITORY))
        yield made.address
    finally:
        made.shutdown()


def _looks_in(*folders: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def test_what_a_broken_node_fails_at_is_done_by_another_and_a_different_one_gets_no_work(
    cluster: str, own_clips: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "corpus", tmp_path / "out"
    folder.mkdir()
    names = ["crash.mp4", *(f"node{i}.mp4" for i in range(5))]
    for name in names:
        shutil.copy(own_clips / "cfr25_bframes.mp4", folder / name)
    flags = [*TINY_FLAGS, *FAULTY, "--address", cluster, "--decode-workers", "1"]
    result = run("extract", folder, "--out", out, *flags, "--json")
    assert result.returncode == 3, result.stderr
    found = summary(result)
    assert found["errors"] == {"crashed": 1}, result.stderr
    assert len(found["plans"]) == 2
    # the node with another version is named, and has no part
    told = [line for line in result.stderr.splitlines() if "is left out" in line]
    assert len(told) == 1 and "torch 9.9 instead of" in told[0]
    assert len(found["nodes"]) == 2
    # what the broken node failed at stands in the log, and in no table
    [log] = (out / "logs").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    failed = [event["message"] for event in events if event["event"] == "failed"]
    assert any("/node" in message for message in failed), "the broken node had no work"
    assert "tried again, on another node each" in result.stderr
    [error] = pq.read_table(out / "errors.parquet").to_pylist()
    assert error["uri"].endswith("crash.mp4") and error["attempts"] == 4  # two on each node
    assert {name for name, _ in keys(out)} == set(names) - {"crash.mp4"}
    assert len(keys(out)) == len(set(keys(out)))
    assert verified(out).pending_shards == 0
    again = run("extract", folder, "--out", out, *flags)
    assert "Nothing to do" in again.stdout


def test_the_doctor_compares_the_nodes(cluster: str) -> None:
    found = run("doctor", "--address", cluster, "--json")
    assert found.returncode == 4, found.stderr
    nodes = [line for line in json.loads(found.stdout) if line["what"].startswith("node ")]
    assert sorted(line["state"] for line in nodes) == ["missing", "ok", "ok"]
    [different] = [line for line in nodes if line["state"] == "missing"]
    assert "has torch 9.9 instead of" in different["found"]


@pytest.mark.parametrize("actor", [_Actor, _Feeder])
def test_another_version_is_refused_before_anything_is_unpickled(actor: Any) -> None:
    with pytest.raises(NodeDiffers, match=r"instead of 9\.9: install what the driver has"):
        actor().setup({**versions(), "torch": "9.9"}, b"not a pickle")


def test_what_a_task_raised_comes_first_and_without_colours() -> None:
    trace = "\x1b[36mray::_Actor.run()\x1b[39m (pid=7)\n  File x\nOSError: no room\nmore"
    error = RayTaskError("run", trace, OSError("no room\nmore"))
    lines = raised_text(error).splitlines()
    assert lines[0] == "OSError: no room" and lines[1] == "ray::_Actor.run() (pid=7)"


def test_what_cuda_raises_in_a_worker_is_a_lost_device() -> None:
    class Broken:
        def run(self, lease: object) -> None:
            raise RuntimeError(f"CUDA error: {lease}\nmore lines")

    actor = _Actor()
    actor.worker = Broken()
    with pytest.raises(DeviceLost, match=r"a GPU of .* failed: CUDA error: the device is gone;"):
        actor.run("the device is gone")  # type: ignore[arg-type]
