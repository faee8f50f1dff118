"""A real S3-API server on loopback: OpenStack Swift with its s3api door.

Four daemons (account, container, object, proxy) of about 60 MB each. It enforces
`If-None-Match`, refuses wrong secrets, pages its listings and does multipart uploads.
Nothing is written outside `root`.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

_STORES = ("account", "container", "object")
DAEMONS = (*_STORES, "proxy")
_PIPELINE = ("catch_errors", "cache", "listing_formats", "bulk", "s3api", "tempauth", "slo")
_OPTIONS = {
    "s3api": "location = us-east-1\nmin_segment_size = 5242880\n",
    "tempauth": "user_vfeat_test = vfeatsecret .admin\n",
}
_READY_S = 60.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass
class S3Server:
    """Its daemons may be killed and started again; what was stored stays."""

    root: Path
    bin: Path
    key: str = "vfeat:test"
    secret: str = "vfeatsecret"
    region: str = "us-east-1"
    ports: dict[str, int] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    # the daemons die with the thread that spawned them, so it must live as long as we do
    _parent: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def endpoint(self) -> str:
        """What AWS_ENDPOINT_URL_S3 must be."""
        return f"http://127.0.0.1:{self.ports['proxy']}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make s3fs, boto3 and vfeat use this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def configure(self) -> None:
        """Choose free ports and write the configuration below `root`."""
        self.ports = dict(zip(DAEMONS, _free_ports(len(DAEMONS)), strict=True))
        etc = self.root / "etc"
        for folder in (etc, self.root / "dev" / "d1", self.root / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        (etc / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = t\nswift_hash_path_suffix = t\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        for kind in _STORES:
            self._write_ring(etc, kind)
            (etc / f"{kind}.conf").write_text(
                f"{self._common(kind)}devices = {self.root}/dev\nmount_check = false\n"
                f"disable_fallocate = true\n[pipeline:main]\npipeline = {kind}-server\n"
                f"[app:{kind}-server]\nuse = egg:swift#{kind}\n"
                # listings must show an object at once, on a busy machine, too
                f"recon_cache_path = {self.root}/run\ncontainer_update_timeout = 30\n"
            )
        filters = "".join(
            f"[filter:{name}]\nuse = egg:swift#{'memcache' if name == 'cache' else name}\n"
            f"{_OPTIONS.get(name, '')}"
            for name in _PIPELINE
        )
        (etc / "proxy.conf").write_text(
            f"{self._common('proxy')}[pipeline:main]\npipeline = {' '.join(_PIPELINE)} "
            "proxy-server\n[app:proxy-server]\nuse = egg:swift#proxy\n"
            f"account_autocreate = true\n{filters}"
        )

    def start(self, *daemons: str) -> None:
        """Start some daemons, or all; returns when they listen.

        The proxy comes last: before the others listen it says that buckets do not exist.
        """
        wanted = daemons or DAEMONS
        for group in ([k for k in wanted if k != "proxy"], [k for k in wanted if k == "proxy"]):
            for kind in group:
                if kind not in self._running:
                    self._running[kind] = self._parent.submit(self._spawn, kind).result()
            for kind in group:
                self._await(kind)

    def _await(self, kind: str) -> None:
        deadline_s = time.monotonic() + _READY_S
        while not _listens(self.ports[kind]):
            dead = self._running[kind].poll() is not None
            if dead or time.monotonic() > deadline_s:
                raise TimeoutError(f"swift's {kind} daemon does not listen\n{self.log_tail()}")
            time.sleep(0.05)

    def kill(self, *daemons: str) -> None:
        """SIGKILL to some daemons, or all."""
        for kind in daemons or tuple(self._running):
            process = self._running.pop(kind, None)
            if process is not None:
                process.kill()
                process.wait()

    def restart(self) -> None:
        """Kill everything and start it on the same ports and data."""
        self.kill()
        self.start()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of each daemon's log."""
        tails = []
        for path in sorted(self.root.glob("*.log")):
            last = path.read_text(errors="replace").splitlines()[-lines:]
            tails.append("\n".join([f"--- {path}", *last]))
        return "\n".join(tails)

    def _spawn(self, kind: str) -> subprocess.Popen[bytes]:
        with (self.root / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(
                [self.bin / f"swift-{kind}-server", self.root / "etc" / f"{kind}.conf"],
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )

    def _common(self, kind: str) -> str:
        return (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {self.ports[kind]}\nworkers = 0\n"
            f"user = {getpass.getuser()}\nswift_dir = {self.root}/etc\n"
        )

    def _write_ring(self, etc: Path, kind: str) -> None:
        device = ["--region", "1", "--zone", "1", "--ip", "127.0.0.1", "--device", "d1"]
        for step in (
            ["create", "6", "1", "0"],
            ["add", *device, "--port", str(self.ports[kind]), "--weight", "1"],
            ["rebalance"],
        ):
            command = [str(self.bin / "swift-ring-builder"), f"{kind}.builder", *step]
            subprocess.run(command, cwd=etc, check=True, stdout=subprocess.DEVNULL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C is for pytest, which then stops the server
    os.setpgrp()
