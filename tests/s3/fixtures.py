"""The fixtures `s3` (the server, one for the session) and `bucket` (a fresh one each time)."""

from __future__ import annotations

import errno
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3.install import REPOSITORY, CannotInstall, swift_bin
from tests.s3.proxy import Proxy
from tests.s3.server import S3Server


@pytest.fixture(scope="session")
def s3(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[S3Server]:
    """A running S3-API server; skips where Swift cannot be installed, but not in CI."""
    try:
        bin_folder = swift_bin()
    except (CannotInstall, OSError, subprocess.SubprocessError) as error:
        told = f"no S3 server to test with (OpenStack Swift cannot be installed): {error}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(told)
        pytest.skip(told)
    server = S3Server(_place(tmp_path_factory), bin_folder)
    server.configure()
    try:
        server.start()
        yield server
    finally:
        server.kill()
        if request.session.testsfailed:
            print(server.log_tail())


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://name` of a new, empty bucket; the environment leads there, with its keys."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.start()  # whatever a test before this one has killed
    from vfeat.storage.remote import connect

    uri = f"s3://test-{uuid.uuid4().hex[:12]}"
    fs, path = connect(uri)
    fs.call_s3("create_bucket", Bucket=path)
    return uri


@pytest.fixture
def proxy(bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server; the environment leads to it."""
    between = Proxy(s3.ports["proxy"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
    yield between
    between.close()


def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on a disk with extended attributes, which Swift keeps its metadata in."""
    root = tmp_path_factory.mktemp("s3")
    try:
        os.setxattr(root, "user.test", b"1")
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EPERM}:
            raise
        root = REPOSITORY / ".venv-swift" / "data" / uuid.uuid4().hex
        root.mkdir(parents=True)
    return root
