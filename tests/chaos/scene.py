"""The corpus of a round, what an undisturbed run makes of it, and the comparison with that."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import vfeat
from tests.engine.commands import TINY_FLAGS, run
from tests.engine.jobs import verified
from vfeat.storage.root import Root
from vfeat.tables.status import open_errors

CLIPS = Path(__file__).parents[1] / "clips"
PLANTED = ("crash.mp4", "hang.mp4", "leak.mp4", "lie.mp4", "noise.mp4")
FLAGS = (
    *TINY_FLAGS, "--decoder", "tests.chaos.decoders:planted", "--decode-workers", "2",
    "--shard-minutes", "0.001", "--storage-patience-seconds", "60",
    "--decode-timeout-seconds", "10",
)  # fmt: skip
_CLOSE = 1e-4  # of embeddings: batches differ between attempts

Key = tuple[str, int]


@dataclass(frozen=True)
class Truth:
    """Rows and errors of a run that nothing disturbed."""

    rows: dict[Key, np.ndarray]
    errors: Counter[tuple[str, str]]


def make_corpus(folder: Path, slow: int, planted: tuple[str, ...]) -> None:
    """Write videos that take a second to open, and some that fail in a way of their own."""
    folder.mkdir(parents=True)
    for number in range(slow):
        shutil.copy(CLIPS / "cfr25_bframes.mp4", folder / f"slow{number:02}.mp4")
    for name in planted:
        origin = "random_bytes.mp4" if name == "noise.mp4" else "cfr25_bframes.mp4"
        shutil.copy(CLIPS / origin, folder / name)


def upload(folder: Path, uri: str) -> None:
    """Copy a corpus to a bucket."""
    root = Root(uri)
    for path in sorted(folder.iterdir()):
        root.create_file(path.name, path)


def undisturbed(corpus: Path, out: Path, planted: tuple[str, ...]) -> Truth:
    """Run the command in one process, with nothing in its way."""
    ended = run("extract", corpus, "--out", out, *FLAGS, "--executor", "inline", timeout_s=600)
    assert ended.returncode == (3 if planted else 0), ended.stderr
    truth = read(str(out))
    assert {name for name, _ in truth.errors} == set(planted), truth.errors
    return truth


def read(out: str) -> Truth:
    """Read a dataset's rows and errors.

    Raises:
        AssertionError: a row is there twice.
    """
    table = vfeat.open(out).to_arrow().to_pylist()
    rows = {(_name(r["uri"]), r["clip_index"]): np.asarray(r["embedding"]) for r in table}
    assert len(rows) == len(table), f"{len(table) - len(rows)} rows are there twice"
    errors = open_errors(out)
    return Truth(rows, Counter((_name(e["uri"]), e["error_class"]) for e in errors))


def differences(out: str, truth: Truth) -> list[str]:
    """Return what is not as in the undisturbed run; empty when all is exact."""
    try:
        report = verified(out)
        found = read(out)
    except AssertionError as error:
        return [str(error)]
    problems = []
    if report.pending_shards:
        problems.append(f"{report.pending_shards} shards are pending")
    if missing := truth.rows.keys() - found.rows.keys():
        problems.append(f"{len(missing)} rows are missing, such as {min(missing)}")
    if added := found.rows.keys() - truth.rows.keys():
        problems.append(f"{len(added)} rows are too many, such as {min(added)}")
    if found.errors != truth.errors:
        wrong = (found.errors - truth.errors, truth.errors - found.errors)
        problems.append(f"errors that nothing planted: {wrong[0]}; missing: {wrong[1]}")
    both = sorted(truth.rows.keys() & found.rows.keys())
    problems += [
        f"the row {key} has another embedding"
        for key in both
        if not np.allclose(found.rows[key], truth.rows[key], rtol=_CLOSE, atol=_CLOSE)
    ]
    return problems


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
