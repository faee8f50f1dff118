"""What is installed: weights and class names come along, in the wheel and from the sdist."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = [
    path.relative_to(ROOT).as_posix()
    for folder in ("labels", "box", "report/templates", "browse/page")
    for path in sorted((ROOT / "vfeat" / folder).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist of this repository, kernels not compiled."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "CXX": "/nowhere/c++"},
        check=True,
        capture_output=True,
    )
    return folder


def test_the_archives_hold_all_names_and_weights(built: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert set(DATA) <= set(archive.namelist())
    with tarfile.open(sdist) as archive:
        assert set(DATA) <= {name.partition("/")[2] for name in archive.getnames()}


def test_the_archives_hold_no_recipe(built: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    with tarfile.open(sdist) as archive:
        names += [name.partition("/")[2] for name in archive.getnames()]
    assert not [name for name in names if "recipes" in name]
    assert not [name for name in names if "synthetic" in name or "style_corpus" in name]


def test_names_are_read_from_an_installed_package(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import vfeat.labels as found; print(found.__file__, found.label_set('k400')[207])"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.strip() == f"{tmp_path / 'vfeat/labels/__init__.py'} hoverboarding"


def test_weights_in_the_package_stay_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "vfeat/box").rglob("*")) < 8e6
