"""Every law of a root holds on a disk and on S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfeat.storage import Root


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """An empty dataset root."""
    if request.param == "local":
        return Root(str(tmp_path / "dataset"))
    return Root(request.getfixturevalue("bucket") + "/some/dataset")
