"""`ray job submit` of a job file, and the figures that the run exports; needs Ray's dashboard."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.engine.commands import REPOSITORY, wait_until
from tests.engine.jobs import TINY, verified
from vfeat.engine.metrics import METRICS

DASHBOARD = ("aiohttp_cors", "grpc", "opencensus", "prometheus_client", "smart_open")
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of a head with a dashboard: its address, its metrics, its user's home."""
    if missing := [name for name in DASHBOARD if importlib.util.find_spec(name) is None]:
        pytest.skip(f"the extra `cluster` is not installed: no {missing[0]}")
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(16))
    temp_dir = tempfile.mkdtemp(prefix="vfj-", dir="/tmp")
    gcs, client, dashboard, agent, metrics = map(str, free_ports(5))
    variables = {
        **os.environ, "HOME": str(home), "RAY_TMPDIR": temp_dir, "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}", "HEAD_METRICS": metrics,
    }  # fmt: skip
    log = home / "ray.log"
    with log.open("w") as file:
        subprocess.Popen(
            [RAY, "start", "--head", f"--port={gcs}", f"--ray-client-server-port={client}",
             f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
             f"--metrics-export-port={metrics}", "--num-cpus=1", "--disable-usage-stats",
             "--min-worker-port=0", "--max-worker-port=0", "--block"],
            env=variables, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text(), 240, "a head")
        wait_until(lambda: all(map(listens, (dashboard, agent))), 120, "its dashboard and agent")
        yield variables
    finally:
        for process in psutil.process_iter():
            try:
                if process.environ().get("RAY_TMPDIR") == temp_dir:
                    process.kill()
            except psutil.Error:
                continue
        shutil.rmtree(temp_dir, ignore_errors=True)


def listens(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_a_job_file_in_a_working_folder_is_run_by_the_cluster(
    head: dict[str, str], own_clips: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "job", tmp_path / "out"
    folder.mkdir()
    job = {**TINY, "kind": "extract", "executor": "ray", "sources": [str(own_clips / "vp9.webm")]}
    (folder / "extract.yaml").write_text(yaml.safe_dump({**job, "out": str(out)}))
    command = [sys.executable, "-m", "vfeat", "run", "extract.yaml", "--address", "auto"]
    submitted = subprocess.run(
        [RAY, "job", "submit", "--working-dir", str(folder), "--", *command],
        env={**head, "RAY_AUTH_MODE": "token"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert verified(out).rows == 3 and verified(out).pending_shards == 0
    always = {metric.exported for metric in METRICS if metric.label != "error_class"}
    wait_until(lambda: always <= exported(head), 60, f"all of {always}")


def exported(head: dict[str, str]) -> set[str]:
    """Names of our metrics at the node's port for Prometheus."""
    address = socket.gethostbyname(socket.gethostname())
    for host in (address, "127.0.0.1"):
        try:
            url = f"http://{host}:{head['HEAD_METRICS']}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return set(re.findall(r"^(ray_vfeat_\w+)\{", answer.read().decode(), re.M))
        except OSError:
            continue
    return set()
