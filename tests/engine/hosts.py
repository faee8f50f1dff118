"""Hosts of a Ray cluster: network namespaces of this machine, each with an address of its own.

They share the machine's disk and nothing else that a network separates.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.engine.commands import environment, wait_until

_RAY = Path(sys.executable).with_name("ray")
_PORT = 6379
# A host that does not answer for so long is dead; Ray's own values come to half a minute.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}


class NoNamespaces(Exception):
    """This platform does not let us make hosts; the message is the reason."""


class Host:
    """A network namespace with an address, and a Ray node in it once it is started."""

    def __init__(self, network: Network, number: int) -> None:
        self.name = f"{network.name}h{number}"
        self.address = f"{network.prefix}.{number}"
        self._network = network
        self._link = f"{network.name}v{number}"
        self._log = network.logs / f"ray-{number}.log"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._link, "master", network.name, "up")
        self._inside("addr", "add", f"{self.address}/24", "dev", "eth0")
        self._inside("link", "set", "eth0", "up")
        self._inside("link", "set", "lo", "up")

    def start_ray(self, cpus: int) -> None:
        """Start a Ray node: the head on the first host, one that joins it on the others."""
        head = self._network.hosts[0]
        # The head takes the token in HOME by itself; whoever joins it must be told to use it.
        token = {} if head is self else {"RAY_AUTH_MODE": "token"}
        place = (
            ["--head", f"--port={_PORT}",
             "--include-dashboard=false"]
            if head is self
            else [f"--address={head.address}:{_PORT}"]
        )  # fmt: skip
        with self._log.open("wb") as log:
            self.spawn(
                [str(_RAY), "start", *place, f"--node-ip-address={self.address}",
                 f"--num-cpus={cpus}", "--disable-usage-stats", "--block",
                 f"--object-store-memory={100 << 20}"],
                stdout=log, stderr=log, env=token,
            )  # fmt: skip
        # Ray picks the names of a node's sockets before it makes them, and hosts share the folder:
        # two nodes that start at once would get the same ones, and one of them never joins.
        started = "Ray runtime started"
        wait_until(lambda: started in self._log.read_text(), 120, f"a Ray node on {self.name}")

    def spawn(
        self, command: list[str], env: dict[str, str], **options: object
    ) -> subprocess.Popen[str]:
        """Start a command on this host, with these variables besides the network's."""
        # Ray leaves its own there once a test has started one in this process
        own = {name: text for name, text in environment().items() if "RAY_AUTH" not in name}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env={**own, **_HEALTH, **self._network.extra, **env},
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )

    def cut_off(self) -> None:
        """Take its link down: packets go neither in nor out, and nobody is told."""
        _ip("link", "set", self._link, "down")

    def kill(self) -> None:
        """Kill all that runs on it, at once."""
        for process in self.processes(""):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def processes(self, what: str) -> list[psutil.Process]:
        """Return its processes whose command line holds these words."""
        found = []
        # by the namespace: decoder children have no environment that could name the host
        here = os.stat(f"/run/netns/{self.name}").st_ino
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                ours = os.stat(f"/proc/{process.pid}/ns/net").st_ino == here
                if ours and what in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def _inside(self, *arguments: str) -> None:
        _ip("-n", self.name, *arguments)

    def remove(self) -> None:
        """Kill all that runs on it, and take it away."""
        self.kill()
        for command in (["link", "del", self._link], ["netns", "del", self.name]):
            subprocess.run(["ip", *command], check=False, capture_output=True)


class Network:
    """A bridge with hosts on it.

    Attributes:
        prefix: first three numbers of its addresses.
        extra: variables of every host: a home folder with the cluster's token.
        logs: folder of what Ray prints on each host.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"vf{uuid.uuid4().hex[:6]}"
        self.prefix = f"10.{random.randint(64, 250)}.{random.randint(1, 250)}"
        # Ray notes the latest cluster of a machine in its folder, for commands without an address.
        self.temp_dir = tempfile.mkdtemp(prefix="vfh-", dir="/tmp")  # sockets need a short path
        self.extra = {"HOME": str(folder), "RAY_TMPDIR": self.temp_dir}
        self.logs = folder
        (folder / ".ray").mkdir()
        (folder / ".ray" / "auth_token").write_text(secrets.token_hex(16))
        self.hosts: list[Host] = []
        _ip("link", "add", self.name, "type", "bridge")
        _ip("link", "set", self.name, "up")

    @property
    def address(self) -> str:
        """Address of the cluster, for `--address`."""
        return f"{self.hosts[0].address}:{_PORT}"

    def add(self) -> Host:
        """Add a host, without a Ray node yet."""
        host = Host(self, len(self.hosts) + 1)
        self.hosts.append(host)
        return host

    def remove(self) -> None:
        """Take everything away."""
        for host in self.hosts:
            host.remove()
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True)
        time.sleep(0.2)
        shutil.rmtree(self.temp_dir, ignore_errors=True)


@contextlib.contextmanager
def network(folder: Path) -> Iterator[Network]:
    """Make a network; what runs on it ends with the block.

    Raises:
        NoNamespaces: it is not permitted here.
    """
    if os.geteuid() != 0:
        raise NoNamespaces("network namespaces need root")
    if shutil.which("ip") is None:
        raise NoNamespaces("there is no `ip` (iproute2)")
    made = Network(folder)
    try:
        made.add()
        yield made
    finally:
        made.remove()


def _ip(*arguments: str) -> None:
    ended = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NoNamespaces(f"`ip {' '.join(arguments)}`: {ended.stderr.strip()}")
