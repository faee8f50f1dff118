"""Two nights of `jobs/nightly.yaml` over a bucket that changes between them."""

from __future__ import annotations

import io
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.classify.classifying import make_head, rows
from tests.engine.commands import REPOSITORY, run
from tests.engine.jobs import TINY, tiny_job
from vfeat.extract.run import run_job
from vfeat.storage.root import Root


class Archive:
    """A bucket with videos, and the datasets that nights make of it."""

    def __init__(self, bucket: str, clips: Path, head: Path) -> None:
        self.clips = clips
        self.features, self.predictions = f"{bucket}/features", f"{bucket}/predictions"
        self.videos = Root(f"{bucket}/archive")
        heads = Root(f"{bucket}/heads/pace")
        for path in head.iterdir():
            heads.create_file(path.name, path)
        tiny = {name: value for name, value in TINY.items() if name not in ("executor", "device")}
        extract = {**tiny, "sources": [f"{self.videos.uri}/"], "out": self.features}
        extract |= {"clip_seconds": 1.0, "dtype": "float32"}
        self.settings = {f"extract.{name}": value for name, value in extract.items()}
        self.settings |= {"classify.heads": [heads.uri], "classify.out": self.predictions}
        self.settings |= {"executor": "inline", "device": "cpu"}

    def put(self, name: str, clip: str) -> None:
        self.videos.replace_file(name, self.clips / clip)

    def night(self) -> tuple[int, dict[str, Any]]:
        """Run the job file as it is in the repository; the exit code, and each job's result."""
        sets = [f"{key}={json.dumps(value)}" for key, value in self.settings.items()]
        words = [word for one in sets for word in ("--set", one)]
        ended = run("run", REPOSITORY / "jobs" / "nightly.yaml", *words, "--json")
        found = {part["job"]: part for part in told(ended)}
        assert list(found) == ["extract", "classify"], ended.stderr
        return ended.returncode, {name: part["result"] for name, part in found.items()}


def told(ended: subprocess.CompletedProcess[str]) -> Any:
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


def statuses(out: str) -> dict[str, dict[str, str]]:
    """Of `videos.parquet`: video_id by name, for each status."""
    found: dict[str, dict[str, str]] = {}
    table = pq.read_table(io.BytesIO(Root(out).read_bytes("videos.parquet")))
    for row in table.to_pylist():
        name = row["uri"].rpartition("/")[2]
        assert name not in found.setdefault(row["status"], {}), f"{name} twice"
        found[row["status"]][name] = row["video_id"]
    return found


def feature_keys(out: str) -> Counter[tuple[str, int]]:
    root = Root(out)
    found: Counter[tuple[str, int]] = Counter()
    for name in root.list("features"):
        table = pq.read_table(io.BytesIO(root.read_bytes(f"features/{name}")))
        ids, clips = table.column("video_id").to_pylist(), table.column("clip_index").to_pylist()
        found.update(zip(ids, clips, strict=True))
    return found


@pytest.fixture
def archive(bucket: str, own_clips: Path, tmp_path: Path) -> Archive:
    """A bucket before the first night, with a broken file; the head is of the same features."""
    run_job(tiny_job(tmp_path / "f", own_clips / "vp9.webm"))
    archive = Archive(bucket, own_clips, make_head(tmp_path / "head", tmp_path / "f"))
    archive.put("kept.mp4", "cfr25_bframes.mp4")
    archive.put("changed.mp4", "av1.mp4")
    archive.put("removed.mp4", "one_frame.mp4")
    archive.put("broken.mp4", "random_bytes.mp4")
    return archive


def test_two_nights_end_with_what_the_bucket_holds(archive: Archive) -> None:
    code, results = archive.night()
    assert code == results["extract"]["exit_code"] == 3  # and the second job was done all the same
    assert results["classify"]["exit_code"] == 0
    first = statuses(archive.features)
    assert first["complete"].keys() == {"kept.mp4", "changed.mp4", "removed.mp4"}
    assert first["failed"].keys() == {"broken.mp4"}
    assert statuses(archive.predictions) == {"complete": first["complete"]}

    archive.put("added.mp4", "hevc.mp4")
    archive.put("changed.mp4", "vfr.mp4")
    archive.videos.delete("removed.mp4")
    archive.put("broken.mp4", "vp9.webm")
    code, results = archive.night()
    assert code == 0, results
    assert results["extract"]["totals"]["planned_videos"] == 3
    assert results["classify"]["totals"]["planned_videos"] == 3

    keys = feature_keys(archive.features)
    assert set(keys.values()) == {1}
    found = statuses(archive.features)
    here = {"kept.mp4", "added.mp4", "changed.mp4", "broken.mp4"}
    assert found.keys() == {"complete", "gone"} and found["complete"].keys() == here
    assert found["gone"].keys() == {"removed.mp4", "changed.mp4", "broken.mp4"}
    assert found["complete"]["kept.mp4"] == first["complete"]["kept.mp4"]
    assert found["gone"]["changed.mp4"] == first["complete"]["changed.mp4"]
    assert {video_id for video_id, _ in keys} >= set(found["complete"].values())

    predicted = statuses(archive.predictions)
    assert predicted["complete"] == found["complete"]
    assert predicted["gone"].keys() == {"removed.mp4", "changed.mp4"}
    gone = set(predicted["gone"].values())
    named = Counter(row["video_id"] for row in rows(archive.predictions))
    assert {v: n for v, n in named.items() if v not in gone} == dict.fromkeys(
        found["complete"].values(), 1
    )
    for out in (archive.features, archive.predictions):
        assert json.loads(run("errors", out, "--json").stdout) == []
        assert run("verify", out).returncode == 0

    code, results = archive.night()
    assert code == 0 and all(result["nothing_to_do"] for result in results.values())
