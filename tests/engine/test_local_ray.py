"""A local cluster takes no request from other machines, nor from other users of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.commands import environment
from vfeat.engine.local_ray import keep_token_private

_DRIVER = """
import contextlib, json, os, subprocess, sys
import psutil, ray
from ray._private.state import state
from vfeat.engine.ray_connection import Connection

connection = Connection(None)

@ray.remote
class Actor:
    def where(self):
        return os.getpid(), ray.util.get_node_ip_address()

pid, address = ray.get(Actor.remote().where.remote())
node = ray._private.worker._global_node
session = node.get_session_dir_path()
mine = [psutil.Process(), psutil.Process(pid), *psutil.Process().children(recursive=True)]
mine += [p for p in psutil.process_iter(["cmdline"]) if session in str(p.info["cmdline"])]
sockets = set()
for process in mine:
    with contextlib.suppress(psutil.NoSuchProcess):
        for opened in process.net_connections("inet"):
            if opened.status == psutil.CONN_LISTEN:
                sockets.add((process.name(), opened.laddr.ip))
gcs = ray.get_runtime_context().gcs_address
ask = f"from ray._raylet import GcsClient; GcsClient({gcs!r}).get_all_node_info(timeout=5)"
clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
answers = [
    subprocess.run([sys.executable, "-c", ask], env=clean | more, capture_output=True).returncode
    for more in json.loads(os.environ["TOKENS"])
]
commands = [job["Entrypoint"] for job in state.job_table()]
print(json.dumps([address, sorted(sockets), answers, commands]))
connection.close()
"""


def test_a_local_cluster_listens_on_loopback_and_asks_for_its_token(tmp_path: Path) -> None:
    none, wrong, right = {}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, {}
    right = {"RAY_AUTH_MODE": "token"}
    result = subprocess.run(
        [sys.executable, "-c", _DRIVER, "https://me:PLANTED@host/a?sig=PLANTED"],
        env=environment(HOME=str(tmp_path), TOKENS=json.dumps([none, wrong, right])),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    address, sockets, answers, commands = json.loads(result.stdout.splitlines()[-1])
    assert address == "127.0.0.1"
    names = {name for name, _ in sockets}
    assert {"gcs_server", "raylet"} <= names and len(names) >= 4  # driver, agent and workers too
    assert {ip for _, ip in sockets} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert answers == [1, 1, 0]
    assert commands and not any("PLANTED" in command for command in commands)
    token = tmp_path / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600


def test_a_token_that_others_could_read_is_closed_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_token_private()
    token = tmp_path / ".ray" / "auth_token"
    made = token.read_text()
    assert len(made) == 64 and token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    os.chmod(token, 0o644)  # as Ray before 2.60.1 makes it
    keep_token_private()
    assert (token.read_text(), token.stat().st_mode & 0o777) == (made, 0o600)
