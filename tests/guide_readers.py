"""The examples of docs/guide/readers.md, run over a dataset that is made for it.

    python -m tests.guide_readers [SECTION ...]

Without sections all are run; one whose package is missing is named, and the command ends with 4.
Daft and LanceDB are not among the packages of the test suite: pip install daft lancedb pylance.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "readers.md"
ROWS, WIDTH = 90, 16


def examples() -> dict[str, str]:
    """The code of each section of the guide."""
    parts = re.split(r"^## (.+)$", GUIDE.read_text(), flags=re.M)[1:]
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        [code] = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
        found[title] = code
    return found


def package_of(code: str) -> str:
    """The package that an example imports first."""
    found = re.search(r"^import (\w+)", code, re.M)
    assert found is not None
    return found[1]


def make_dataset(folder: Path) -> Path:
    """A dataset of ROWS rows in several files."""
    from tests.train.head.generated import random_videos, recipe_of, write_dataset

    videos = dict(random_videos([f"v{n}.mp4" for n in range(9)], lambda _: ROWS // 9, WIDTH))
    recipe = recipe_of(WIDTH, dtype="float32")
    return write_dataset(folder / "features", videos, WIDTH, recipe, videos_per_shard=4)


def rows_of(title: str, folder: Path, dataset: Path) -> int:
    """Run the example of a section; return the rows that it counted."""
    code = examples()[title].replace("FEATURES", str(dataset))
    if "EXPORTED" in code:
        from vfeat.export.export import Export

        for _ in Export(str(dataset), str(folder / "exported"), "lance").run():
            pass
        code = code.replace("EXPORTED", str(folder / "exported"))
    names: dict[str, Any] = {"numpy": np}
    exec(compile(code, f"{GUIDE.name}: {title}", "exec"), names)
    if "vectors" in names:
        assert names["vectors"].shape == (ROWS, WIDTH), names["vectors"].shape
    return int(names["rows"])


def main(wanted: list[str]) -> int:
    missing = 0
    for title, code in examples().items():
        if wanted and title.casefold() not in map(str.casefold, wanted):
            continue
        if importlib.util.find_spec(package_of(code)) is None:
            print(f"{title}: the package {package_of(code)} is not installed")
            missing += 1
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows = rows_of(title, Path(folder), make_dataset(Path(folder)))
        print(f"{title}: {rows} of {ROWS} rows")
        if rows != ROWS:
            return 1
    return 4 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
