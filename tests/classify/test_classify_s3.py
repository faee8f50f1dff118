"""Features, head and predictions on S3, against a real S3-API server."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.classify.classifying import by_name, classify, make_head
from tests.engine.commands import kill, run, start, summary, wait_until
from tests.engine.jobs import verified
from tests.train.head.generated import random_videos, recipe_of, write_dataset, write_plan
from vfeat.storage.root import Root

WIDTH, VIDEOS = 8, 600


def upload(folder: Path, uri: str) -> str:
    """A folder's files under a prefix, those that are not there yet."""
    root = Root(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            root.create_file(path.relative_to(folder).as_posix(), path)
    return uri


def names(first: int, last: int) -> list[str]:
    return [f"v{n:04d}.mp4" for n in range(first, last)]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    videos = random_videos(names(0, VIDEOS), lambda name: int(name[4]) % 3 + 1, WIDTH)
    return write_dataset(tmp_path / "features", videos, WIDTH, videos_per_shard=200)


def test_sigkill_and_resume_from_s3_to_s3(local: Path, bucket: str, tmp_path: Path) -> None:
    head = make_head(tmp_path / "head", local)
    features = upload(local, f"{bucket}/features")
    out = f"{bucket}/predictions"
    command = [
        "classify", features, "--head", upload(head, f"{bucket}/head"), "--out", out,
        "--executor", "inline", "--device", "cpu", "--shard-minutes", "0.00003",
    ]  # fmt: skip
    driver = start(*command)
    wait_until(lambda: bool(Root(out).list("predictions")), 180, "a commit")
    kill(driver)
    assert verified(out).pending_shards > 0, "killed too late to prove anything"
    result = run(*command)
    assert result.returncode == 0, result.stderr
    assert verified(out).pending_shards == 0
    near = tmp_path / "near"
    classify(local, near, head)
    there, here = by_name(out), by_name(near)
    assert there.keys() == here.keys() == {(name, 0) for name in names(0, VIDEOS)}
    for key, row in here.items():
        np.testing.assert_allclose(there[key]["logits"], row["logits"], rtol=1e-5, atol=1e-6)


def test_a_night_of_new_videos_becomes_a_delta(bucket: str, tmp_path: Path) -> None:
    local, recipe = tmp_path / "features", recipe_of(WIDTH)
    first = dict(random_videos(names(0, 20), lambda name: 6, WIDTH))
    write_dataset(local, first, WIDTH, failed={"v0003.mp4": [2, 3]})
    head = make_head(tmp_path / "head", local, window_s=2.0, hop_s=2.0)
    uris = {name: f"{bucket}/{name}" for name in ("features", "head", "out")}
    upload(local, uris["features"])
    upload(head, uris["head"])
    command = [
        "classify", uris["features"], "--head", uris["head"], "--out", uris["out"],
        "--windows", "--executor", "inline", "--device", "cpu", "--json",
    ]  # fmt: skip
    assert run(*command).returncode == 0
    before = by_name(uris["out"])
    # new videos, and a retry that brings two clips of an old one
    write_plan(local, 2, random_videos(names(20, 25), lambda name: 4, WIDTH, seed=1), recipe)
    write_plan(local, 3, {"v0003.mp4": first["v0003.mp4"]}, recipe, only=(2, 3))
    upload(local, uris["features"])
    night = run(*command)
    assert night.returncode == 0, night.stderr
    assert summary(night)["plans"] == ["p00001", "p00002"]
    verified(uris["out"])
    after = by_name(uris["out"])
    new = after.keys() - before.keys()
    assert {name for name, _ in new} == {"v0003.mp4", *names(20, 25)}
    # the window over the missing clips was empty, and has its row now
    assert {key for key in new if key[0] == "v0003.mp4"} == {("v0003.mp4", 2)}
    changed = {key[0] for key in before if after[key] != before[key]}
    assert changed == {"v0003.mp4"} and after["v0003.mp4", 0]["clips"] == 6
    assert summary(run(*command))["nothing_to_do"]


def test_commands_that_read_predictions_on_s3(bucket: str, tmp_path: Path) -> None:
    local = tmp_path / "features"
    values = dict(random_videos(names(0, 3), lambda name: 5, WIDTH))
    values["v0001.mp4"][2] = np.nan
    write_dataset(local, values, WIDTH)
    head = make_head(tmp_path / "head", local)
    out = f"{bucket}/out"
    done = run(
        *("classify", upload(local, f"{bucket}/features"), "--head", head, "--out", out),
        *("--executor", "inline", "--device", "cpu"),
    )
    assert done.returncode == 3, done.stderr
    assert "1 failed" in run("status", out).stdout
    assert run("verify", out).returncode == 0
    errors = run("errors", out, "--json").stdout
    assert "v0001.mp4" in errors and "1 of its stored feature vectors hold NaN" in errors


def test_wrong_keys_are_one_sentence(bucket: str, tmp_path: Path) -> None:
    local = write_dataset(tmp_path / "f", random_videos(names(0, 2), lambda name: 3, WIDTH), WIDTH)
    head = make_head(tmp_path / "head", local)
    result = run(
        *("classify", upload(local, f"{bucket}/features"), "--head", head),
        *("--out", f"{bucket}/out", "--executor", "inline"),
        AWS_SECRET_ACCESS_KEY="wrong",
    )
    assert result.returncode == 5, os.linesep.join([result.stdout, result.stderr])
    assert "AWS_SECRET_ACCESS_KEY" in result.stderr and "Traceback" not in result.stderr
