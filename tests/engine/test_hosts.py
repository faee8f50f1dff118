"""A cluster of several hosts: one is cut off, one is killed, one joins, and every row is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.commands import TINY_FLAGS, wait_until
from tests.engine.hosts import Host, Network, NoNamespaces, network
from tests.engine.jobs import keys, verified

VIDEOS = 16  # each waits until all has happened, and every worker holds two of them
FLAGS = (
    "--decoder", "tests.engine.faults:faulty", "--shard-minutes", "0.001",
    "--decode-timeout-seconds", "600",
)  # fmt: skip


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A head and two workers that have joined it, one core each."""
    try:
        with network(tmp_path_factory.mktemp("hosts")) as made:
            for number in range(3):
                (made.hosts[0] if number == 0 else made.add()).start_ray(cpus=1)
            yield made
    except NoNamespaces as error:
        pytest.skip(f"no hosts to test with: {error}")


def decodes(host: Host) -> bool:
    """True when a worker on this host has got work: decoders start with their first video."""
    return bool(host.processes("vfeat.media.children.child_main"))


def vfeat_on(host: Host, *arguments: str | Path, log: Path, **env: str) -> subprocess.Popen[str]:
    with log.open("w") as file:
        command = [sys.executable, "-m", "vfeat", *map(str, arguments)]
        return host.spawn(command, env, stdout=file, stderr=file)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "requires a token, and none was given"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 32}, "is not its own"),
        ({"RAY_AUTH_MODE": "token", "HOME": "/nowhere"}, "there is no token"),
    ],
)
def test_a_cluster_that_requires_a_token_is_one_sentence(
    hosts: Network, own_clips: Path, tmp_path: Path, env: dict[str, str], expected: str
) -> None:
    log = tmp_path / "log.txt"
    driver = vfeat_on(
        hosts.hosts[1], "extract", own_clips / "one_frame.mp4", "--out", tmp_path / "out",
        *TINY_FLAGS, "--address", hosts.address, log=log, **env,
    )  # fmt: skip
    assert driver.wait(timeout=120) == 4, log.read_text()
    text = " ".join(log.read_text().split())
    assert expected in text and "RAY_AUTH_TOKEN_PATH" in text and "Traceback" not in text


def test_a_job_survives_a_host_cut_off_and_one_killed_and_uses_one_that_joins(
    hosts: Network, own_clips: Path, tmp_path: Path
) -> None:
    corpus, out, log = tmp_path / "corpus", tmp_path / "out", tmp_path / "log.txt"
    corpus.mkdir()
    for number in range(VIDEOS):
        shutil.copy(own_clips / "cfr25_bframes.mp4", corpus / f"gate{number:02}.mp4")
    head, cut, killed = hosts.hosts
    driver = vfeat_on(
        head, "extract", corpus, "--out", out, *TINY_FLAGS, *FLAGS, "--address", hosts.address,
        log=log,
    )  # fmt: skip

    def lost() -> int:
        # a connection that is reset comes before the news that its node is dead
        return len(re.findall(r"worker-\d+: (?:lost with its|node .+? rests)", log.read_text()))

    def happens(condition: bool) -> bool:
        assert driver.poll() is None, log.read_text()
        return condition

    wait_until(lambda: happens(all(map(decodes, hosts.hosts))), 180, "work on every host")
    late = hosts.add()
    late.start_ray(cpus=1)
    wait_until(lambda: happens(decodes(late)), 180, "work on the host that joined")
    cut.cut_off()
    wait_until(lambda: happens(lost() == 1), 180, "the loss of a host that is cut off")
    killed.kill()
    wait_until(lambda: happens(lost() == 2), 180, "the loss of a host that is killed")
    (corpus / "healed").touch()
    assert driver.wait(timeout=240) == 0, log.read_text()
    report = verified(out)
    assert report.pending_shards == report.error_clips == 0
    expected = sorted((f"gate{n:02}.mp4", clip) for n in range(VIDEOS) for clip in range(6))
    assert keys(out) == expected
