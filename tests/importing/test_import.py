"""`vfeat import`: what is read, what is refused, and what a second run does."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vfeat
from tests.engine.commands import run, start, summary, wait_until
from tests.importing.made import WIDTH, sequence, write_all, write_rows
from vfeat.engine.watch import Watch
from vfeat.errors import JobError
from vfeat.export.export import Export
from vfeat.importing.run import ImportRun
from vfeat.job.spec import ImportJob
from vfeat.storage.root import Root
from vfeat.tables.status import open_errors
from vfeat.tables.verify import verify_dataset


def import_files(out: Path, *sources: Path | str, **fields: Any) -> Any:
    """Run an import in this process; return its summary."""
    given = {"name": "made", "step_seconds": 0.5, **fields}
    stage = ImportRun(ImportJob(sources=tuple(map(str, sources)), out=str(out), **given), Watch())
    try:
        return stage.run()
    finally:
        stage.close()


def stored(out: Path) -> dict[str, np.ndarray]:
    return {one.uri: one.embeddings for one in vfeat.open(str(out)).sequences()}


def proven(out: Path) -> None:
    *_, report = verify_dataset(Root(str(out)))
    assert report.exit_code == 0, report.problems


def test_every_form_of_file_gives_its_vectors_and_times(tmp_path: Path) -> None:
    made = write_all(tmp_path / "src")
    done = import_files(tmp_path / "out", tmp_path / "src", shard_megabytes=1)
    assert done.exit_code == 0 and done.videos == {"complete": len(made)}
    found = stored(tmp_path / "out")
    assert found.keys() == made.keys()
    for uri, values in made.items():
        np.testing.assert_array_equal(found[uri], values)
    for one in vfeat.open(str(tmp_path / "out")).sequences():
        assert one.clip_index.tolist() == list(range(len(one.embeddings)))
        assert one.start_s.tolist() == [k * 0.5 for k in range(len(one.embeddings))]
        assert one.end_s.tolist() == [(k + 1) * 0.5 for k in range(len(one.embeddings))]
    proven(tmp_path / "out")


def test_again_there_is_nothing_to_do_and_new_files_are_added(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    made = write_all(source)
    import_files(out, source)
    assert import_files(out, source).nothing_to_do
    np.save(source / "later.npy", sequence(20, 3))
    np.save(source / "one.npy", sequence(21, 8))  # other content: another sequence
    (source / "single.npz").unlink()
    done = import_files(out, source)
    assert done.totals.rows == 11
    assert done.videos == {"complete": len(made), "gone": 2}
    np.testing.assert_array_equal(stored(out)[f"{source}/later.npy"], sequence(20, 3))
    proven(out)


def test_damaged_files_are_rows_of_errors_with_their_names(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    good = sequence(1, 4)
    np.save(source / "good.npy", good)
    whole = (source / "good.npy").read_bytes()
    (source / "cut.npy").write_bytes(whole[:-9])
    (source / "empty.npy").write_bytes(b"")
    (source / "zip.npz").write_bytes(b"PK\x03\x04 nothing")
    (source / "tree.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    (source / "rows.parquet").write_bytes(b"PAR1 nothing PAR1")
    np.save(source / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    np.save(source / "flat.npy", np.zeros(WIDTH, np.float32))
    np.save(source / "wide.npy", sequence(2, 4, WIDTH + 1))
    np.save(source / "none.npy", np.zeros((0, WIDTH), np.float32))
    bad = good.copy()
    bad[1:3, 0] = math.nan, math.inf
    np.save(source / "holes.npy", bad)
    done = import_files(out, source, breaker_first_units=1000, breaker_error_share=1.0)
    assert done.exit_code == 3
    errors = {Path(error["uri"]).name: error for error in open_errors(str(out))}
    broken = {path.name for path in source.iterdir()} - {"good.npy"}
    assert errors.keys() == broken
    for name, error in errors.items():
        assert error["error_class"] == "unreadable"
        assert f"{source}/{name}" in error["message"], error
    assert "expected vectors of width 6" in errors["wide.npy"]["message"]
    assert (errors["holes.npy"]["first_clip"], errors["holes.npy"]["last_clip"]) == (1, 2)
    np.testing.assert_array_equal(stored(out)[f"{source}/holes.npy"], bad[[0, 3]])
    np.testing.assert_array_equal(stored(out)[f"{source}/good.npy"], good)
    proven(out)
    again = import_files(out, source, retry_errors=("all",))
    assert again.totals.rows == 0
    assert {error["attempts"] for error in open_errors(str(out))} == {2}
    proven(out)


def test_an_array_larger_than_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    np.save(source / "small.npy", sequence(1, 2))
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, WIDTH)}
    with (source / "bomb.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    import_files(tmp_path / "out", source, breaker_error_share=1.0)
    [error] = open_errors(str(tmp_path / "out"))
    assert error["error_class"] == "too_large" and "--max-array-megabytes" in error["message"]


@pytest.mark.parametrize("stored_as", [np.float16, np.float32, np.float64, np.int16])
def test_half_precision_is_kept_and_all_else_is_float32(
    tmp_path: Path, stored_as: type[np.generic]
) -> None:
    (tmp_path / "src").mkdir()
    values = (10 * sequence(3, 5)).astype(stored_as)
    np.save(tmp_path / "src" / "x.npy", values)
    import_files(tmp_path / "out", tmp_path / "src")
    [found] = stored(tmp_path / "out").values()
    kept = np.float16 if stored_as is np.float16 else np.float32
    assert found.dtype == kept
    np.testing.assert_array_equal(found, values.astype(kept))


def test_arrays_are_chosen_by_name_and_turned(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in ("v1", "v2"):
            file[f"{name}/rgb"] = sequence(len(name), 4).T
            file[f"{name}/flow"] = np.zeros((3, 2))
    import_files(tmp_path / "out", tmp_path / "x.h5", array="rgb", transposed=True)
    found = stored(tmp_path / "out")
    assert found.keys() == {f"{tmp_path}/x.h5/v1", f"{tmp_path}/x.h5/v2"}
    np.testing.assert_array_equal(found[f"{tmp_path}/x.h5/v1"], sequence(2, 4))


def test_rows_of_a_video_that_stand_apart_are_refused(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    write_rows(tmp_path / "src" / "fixed.parquet", {"a": sequence(1, 7)}, fixed=True)
    write_rows(tmp_path / "src" / "mixed.parquet", {"a": sequence(1, 2), "b": sequence(2, 2)})
    table = pq.read_table(tmp_path / "src" / "mixed.parquet")
    pq.write_table(table.take(pa.array([0, 2, 1, 3])), tmp_path / "src" / "mixed.parquet")
    import_files(tmp_path / "out", tmp_path / "src", breaker_error_share=1.0)
    [error] = open_errors(str(tmp_path / "out"))
    assert "do not stand together" in error["message"] and "mixed.parquet" in error["message"]
    np.testing.assert_array_equal(*stored(tmp_path / "out").values(), sequence(1, 7))


def test_another_name_or_step_is_another_recipe(tmp_path: Path) -> None:
    write_all(tmp_path / "src")
    import_files(tmp_path / "out", tmp_path / "src")
    for other in ({"name": "other"}, {"step_seconds": 1.0}, {"dtype": "float16"}):
        with pytest.raises(JobError, match="another recipe"):
            import_files(tmp_path / "out", tmp_path / "src", **other)
    with pytest.raises(JobError, match="vfeat dataset already"):
        import_files(tmp_path / "again", tmp_path / "out")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(JobError, match="no features in"):
        import_files(tmp_path / "again", tmp_path / "nothing")


def test_a_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    values = {f"{source}/{n:03d}.npy": sequence(n, 1500, 192) for n in range(40)}
    for path, steps in values.items():
        np.save(path, steps)
    flags = ("import", source, "--out", out, "--name", "x", "--step-seconds", "1",
             "--shard-megabytes", "1")  # fmt: skip
    process = start(*flags)
    wait_until(lambda: any(out.glob("features/*.parquet")), 120, "a first shard")
    process.kill()
    process.communicate(timeout=60)
    before = len(list(out.glob("features/*.parquet")))
    done = run(*flags, "--json")
    assert done.returncode == 0, done.stderr
    assert before < len(list(out.glob("features/*.parquet")))
    found = stored(out)
    assert found.keys() == values.keys()
    for uri, steps in values.items():
        np.testing.assert_array_equal(found[uri], steps)
    proven(out)


def test_imported_features_go_through_every_command(tmp_path: Path) -> None:
    """Import, status, train head, classify, search: as a user types them."""
    source, out = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["uri", "label", "split"])
        for n in range(24):
            name, label = f"v{n:02d}", "up" if n % 2 else "down"
            values = sequence(n, 6 + n % 3)
            values[:, 0] += 8 if n % 2 else -8
            np.save(source / f"{name}.npy", values)
            rows.writerow([name, label, ("train", "train", "val", "test")[n // 2 % 4]])
    done = run("import", source, "--out", out, "--name", "made", "--step-seconds", "1", "--json")
    assert done.returncode == 0 and summary(done)["videos"] == {"complete": 24}, done.stderr
    assert summary(done)["bottleneck"]["resource"] in ("storage", "write")
    status = run("status", out)
    assert "imported:made" in status.stdout and "24 complete" in status.stdout
    trained = run(
        "train", "head", out, "--labels", tmp_path / "labels.csv", "--task", "classification",
        "--out", tmp_path / "head", "--d-model", "16", "--epochs", "3", "--batch-size", "4",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    [head] = json.loads(trained.stdout)
    assert head["baseline"]["test"]["top1"] == 1.0
    classified = run(
        "classify", out, "--head", tmp_path / "head", "--out", tmp_path / "predictions",
        "--executor", "inline", "--device", "cpu", "--json",
    )  # fmt: skip
    assert classified.returncode == 0, classified.stderr
    shown = json.loads(run("show", tmp_path / "predictions", "--json").stdout)
    right = {
        row["uri"]: row["labels"][0][0] == ("up" if int(Path(row["uri"]).stem[1:]) % 2 else "down")
        for row in shown
    }
    tested = [is_right for uri, is_right in right.items() if int(Path(uri).stem[1:]) // 2 % 4 == 3]
    assert len(right) == 24 and sum(tested) / len(tested) == head["metrics"]["test"]["top1"]
    work = Export(str(tmp_path / "predictions"), str(tmp_path / "exported"), "parquet")
    assert [step.rows for step in work.run()][-1] == 24
    with pytest.raises(JobError, match="no common width"):
        Export(str(tmp_path / "predictions"), str(tmp_path / "npy"), "npy")
    found = json.loads(run("search", out, "--like", "v03.npy@2.5", "-k", "3", "--json").stdout)
    best = found["moments"][0]
    assert best["uri"] == f"{source}/v03.npy" and best["clip_index"] == 2
    refused = run("search", out, "--clip", source / "v03.npy")
    assert refused.returncode == 2 and "were imported" in refused.stderr


def test_files_on_s3_are_imported_once(bucket: str, tmp_path: Path) -> None:
    values = sequence(1, 5)
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "y.npz", a=values[:2], b=values[2:])
    for name in ("x.npy", "y.npz"):
        Root(f"{bucket}/src").create_file(name, tmp_path / name)
    out = f"{bucket}/out"
    done = import_files(out, f"{bucket}/src")  # type: ignore[arg-type]
    assert done.videos == {"complete": 3} and done.exit_code == 0
    found = stored(out)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[f"{bucket}/src/x.npy"], values)
    np.testing.assert_array_equal(found[f"{bucket}/src/y.npz/b"], values[2:])
    assert import_files(out, f"{bucket}/src").nothing_to_do  # type: ignore[arg-type]
